-- Studies: items, who rates them, votes, drafts, and annotations with their reviews.
--
-- Votes, versions of annotations and reviews are never changed: triggers refuse it.

-- Who votes: a user (with the user's own id), whoever uses the machine in local mode, or a person of an
-- imported study.
create table subjects (
    id             uuid primary key,
    user_id        uuid unique references users (id),
    name           text not null
);

create table studies (
    id             uuid primary key,
    name           text not null check (char_length(name) between 1 and 120),
    task           text not null check (task in ('acr', 'attributes', 'pairs', 'reasoning')),
    guidelines     text not null default '',
    overlap        integer not null check (overlap between 1 and 1000),
    seed           bigint not null,
    break_minutes  integer not null check (break_minutes between 0 and 240),
    status         text not null default 'open' check (status in ('open', 'closed')),
    -- Grows with every change, so that two people who edit do not overwrite each other.
    revision       bigint not null default 1,
    created_by     text not null,
    created_at     timestamptz not null default now()
);

create table study_members (
    study_id       uuid not null references studies (id),
    user_id        uuid not null references users (id),
    added_at       timestamptz not null default now(),
    primary key (study_id, user_id)
);

create index study_members_of_user on study_members (user_id);

-- An invite can lead into a study.
alter table invites add column study_id uuid references studies (id);

create table study_items (
    id             uuid primary key,
    study_id       uuid not null references studies (id),
    -- An image that people rate is kept: without it their votes would say nothing.
    image_id       uuid not null references images (id),
    other_image_id uuid references images (id),
    kind           text not null default 'rated' check (kind in ('rated', 'training', 'gold')),
    expected       double precision check (expected between 1 and 5),
    expected_preference smallint check (expected_preference between -1 and 1),
    tolerance      double precision not null default 1 check (tolerance between 0 and 4),
    repeated       boolean not null default false,
    created_at     timestamptz not null default now(),
    check (image_id <> other_image_id)
);

create unique index study_items_once on study_items
    (study_id, image_id, coalesce(other_image_id, '00000000-0000-0000-0000-000000000000'));
create index study_items_of_study on study_items (study_id, id);
create index study_items_of_image on study_items (image_id);
create index study_items_of_other_image on study_items (other_image_id) where other_image_id is not null;

-- Who is to rate what, in which order. An assignment is made when it is first handed out, so that
-- concurrent people do not exceed an item's overlap.
create table assignments (
    study_id       uuid not null references studies (id),
    item_id        uuid not null references study_items (id),
    subject_id     uuid not null references subjects (id),
    -- 1 for the second time.
    repeat         smallint not null default 0 check (repeat in (0, 1)),
    position       integer not null,
    assigned_at    timestamptz not null default now(),
    done_at        timestamptz,
    primary key (item_id, subject_id, repeat)
);

create unique index assignments_in_order on assignments (study_id, subject_id, position);
create index assignments_open on assignments (study_id, subject_id, position) where done_at is null;

create table votes (
    id             uuid primary key,
    study_id       uuid not null references studies (id),
    item_id        uuid not null references study_items (id),
    subject_id     uuid not null references subjects (id),
    repeat         smallint not null default 0 check (repeat in (0, 1)),
    score          double precision check (score between 1 and 5),
    -- By attribute, in the order of the grammar; null where it was not rated.
    levels         smallint[] check (cardinality(levels) = 6),
    preference     smallint check (preference between -1 and 1),
    skipped        text,
    flag           text,
    -- Given before the voter could see a model's answer or an expected one.
    blind          boolean not null,
    zoom           double precision,
    device_pixel_ratio double precision,
    viewport_width integer,
    viewport_height integer,
    ms             bigint,
    -- The client's name for it: sent twice it is one vote.
    key            text not null,
    created_at     timestamptz not null default now(),
    unique (subject_id, key),
    check (num_nonnulls(score, preference, skipped) = 1)
);

create index votes_of_item on votes (item_id, subject_id, repeat, id desc);
create index votes_of_study on votes (study_id, id);
create index votes_of_subject on votes (study_id, subject_id, id desc);

-- Who has seen models' answers on an item, and since when.
create table reveals (
    item_id        uuid not null references study_items (id),
    subject_id     uuid not null references subjects (id),
    at             timestamptz not null default now(),
    primary key (item_id, subject_id)
);

-- Work that was saved and not sent. The only table here that is overwritten.
create table drafts (
    item_id        uuid not null references study_items (id),
    subject_id     uuid not null references subjects (id),
    repeat         smallint not null default 0,
    revision       bigint not null,
    body           jsonb not null,
    updated_at     timestamptz not null default now(),
    primary key (item_id, subject_id, repeat)
);

-- Where each person's annotation of an item stands; the versions are in annotations.
create table annotation_threads (
    id             uuid primary key,
    study_id       uuid not null references studies (id),
    item_id        uuid not null references study_items (id),
    image_id       uuid not null references images (id),
    subject_id     uuid not null references subjects (id),
    -- The answer that is corrected.
    assessment_id  uuid references assessments (id) on delete set null,
    state          text not null check (state in ('submitted', 'returned', 'accepted')),
    version        integer not null,
    disagreement   double precision,
    confidence     double precision,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    unique (item_id, subject_id)
);

create index threads_by_disagreement on annotation_threads (state, coalesce(disagreement, -1) desc, id desc);
create index threads_by_confidence on annotation_threads (state, coalesce(confidence, 2), id);
create index threads_by_age on annotation_threads (state, id);
create index threads_of_subject on annotation_threads (subject_id, study_id, state);

create table annotations (
    id             uuid primary key,
    thread_id      uuid not null references annotation_threads (id),
    version        integer not null,
    subject_id     uuid not null references subjects (id),
    text           text not null,
    created_at     timestamptz not null default now(),
    unique (thread_id, version)
);

create table reviews (
    id             uuid primary key,
    thread_id      uuid not null references annotation_threads (id),
    version        integer not null,
    subject_id     uuid not null references subjects (id),
    verdict        text not null check (verdict in ('accepted', 'fixed', 'returned', 'comment')),
    comment        text not null default '',
    created_at     timestamptz not null default now()
);

create index reviews_of_thread on reviews (thread_id, id);

create trigger votes_keep_rows before update or delete on votes
    for each row execute function refuse_change();
create trigger votes_keep_all before truncate on votes
    for each statement execute function refuse_change();
create trigger annotations_keep_rows before update or delete on annotations
    for each row execute function refuse_change();
create trigger annotations_keep_all before truncate on annotations
    for each statement execute function refuse_change();
create trigger reviews_keep_rows before update or delete on reviews
    for each row execute function refuse_change();
create trigger reviews_keep_all before truncate on reviews
    for each statement execute function refuse_change();

-- Versions of datasets, made from what people settled. What is in one never changes.
create table datasets (
    id             uuid primary key,
    name           text not null check (char_length(name) between 1 and 120),
    version        integer not null,
    study_id       uuid references studies (id),
    -- What was asked for, so that it can be asked for again.
    query          jsonb not null,
    images         integer not null,
    answers        integer not null,
    -- Of the manifest.
    sha256         text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    created_by     text not null,
    created_at     timestamptz not null default now(),
    unique (name, version)
);

create table dataset_items (
    dataset_id     uuid not null references datasets (id),
    position       integer not null,
    -- The image is kept as long as the dataset is.
    image_id       uuid not null references images (id),
    -- A line of the manifest.
    line           text not null,
    primary key (dataset_id, position)
);

create index dataset_items_of_image on dataset_items (image_id);

create trigger datasets_keep_rows before update on datasets
    for each row execute function refuse_change();
create trigger dataset_items_keep_rows before update on dataset_items
    for each row execute function refuse_change();
