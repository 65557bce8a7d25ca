-- Images and the assessments that models made of them.
--
-- Ids are UUIDv7: the order of ids is the order of creation, so the primary keys alone serve the
-- listings by time. Bytes live in the object store under their SHA-256; rows only name them.

create table images (
    id             uuid primary key,
    name           text not null,
    sha256         text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
    format         text not null check (format in ('png', 'jpeg', 'webp')),
    width          integer not null check (width > 0),
    height         integer not null check (height > 0),
    bytes          bigint not null check (bytes > 0),
    created_at     timestamptz not null default now(),
    -- The newest finished assessment and its score, kept here so that the gallery can sort by
    -- score without looking at assessments. The score is null when the answer could not be read.
    latest         uuid,
    latest_score   double precision check (latest_score between 1 and 5)
);

create table assessments (
    id                   uuid primary key,
    image_id             uuid not null references images (id) on delete cascade,
    model                text not null,
    model_sha256         text not null,
    mode                 text not null check (mode in ('reason', 'quick')),
    prompt_version       text not null,
    sampling             jsonb not null,
    status               text not null check (status in ('queued', 'running', 'done', 'failed', 'cancelled')),
    text                 text not null default '',
    score                double precision check (score between 1 and 5),
    level_probabilities  double precision[] check (cardinality(level_probabilities) = 5),
    parse_ok             boolean,
    error                text,
    -- Why generation ended: a stop token, the length limit, or cancellation.
    finish               text check (finish in ('stop', 'length', 'cancelled')),
    prompt_tokens        integer,
    new_tokens           integer,
    ms                   bigint,
    -- How often an engine began to answer: a request that keeps taking the server down is given up.
    attempts             integer not null default 0,
    cancel_on_disconnect boolean not null default false,
    idempotency_key      text unique,
    created_at           timestamptz not null default now(),
    finished_at          timestamptz
);

alter table images add foreign key (latest) references assessments (id) on delete set null;

-- Unscored images come last in both orders; the id breaks ties, so every position is unique.
create index images_best on images (coalesce(latest_score, 0) desc, id desc);
create index images_worst on images (coalesce(latest_score, 6), id);
create index images_latest on images (latest) where latest is not null;

create index assessments_of_image on assessments (image_id, id desc);
create index assessments_unfinished on assessments (id) where status in ('queued', 'running');
