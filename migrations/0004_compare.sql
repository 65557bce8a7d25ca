-- Labels of images, and what models say of them in short, so that two models can be compared.

-- What an image's score should be: the mean opinion of people, or a proxy computed from a reference.
create table labels (
    id         uuid primary key,
    image_id   uuid not null references images (id) on delete cascade,
    kind       text not null check (kind in ('mos', 'proxy')),
    source     text not null,
    value      double precision not null check (value between 1 and 5),
    n          integer check (n > 0),
    sd         double precision check (sd >= 0),
    created_at timestamptz not null default now(),
    unique (image_id, kind, source)
);

-- The newest readable answer in reason mode of each model on each image. Levels are 1 to 5 in the order of the
-- grammar, 0 where an attribute has none; null until the server has read the answer, which only its parser does.
create table readings (
    image_id       uuid not null references images (id) on delete cascade,
    model          text not null,
    assessment_id  uuid not null references assessments (id) on delete cascade,
    score          double precision not null,
    levels         smallint[] check (cardinality(levels) = 6),
    primary key (image_id, model)
);

create index readings_of_model on readings (model, image_id);
create index readings_unread on readings (image_id) where levels is null;

insert into readings (image_id, model, assessment_id, score)
select distinct on (image_id, model) image_id, model, id, score from assessments
where status = 'done' and mode = 'reason' and score is not null
order by image_id, model, id desc;

-- A row for each image and each two models that have readings of it, written with them. So every order of a
-- listing is an index, disagreement too, and a page costs the same at any number of images. `first` sorts before
-- `second`. The lot is random and stays: the lowest ones are a sample.
create table pairs (
    first         text collate "C" not null,
    second        text collate "C" not null,
    image_id      uuid not null references images (id) on delete cascade,
    first_score   double precision not null,
    second_score  double precision not null,
    disagreement  double precision not null generated always as (abs(second_score - first_score)) stored,
    lot           integer not null,
    primary key (first, second, image_id),
    check (first < second)
);

create index pairs_of_image on pairs (image_id);
create index pairs_by_disagreement on pairs (first, second, disagreement desc, image_id desc);
create index pairs_by_first on pairs (first, second, first_score desc, image_id desc);
create index pairs_by_second on pairs (first, second, second_score desc, image_id desc);
create index pairs_by_lot on pairs (first, second, lot, image_id);
