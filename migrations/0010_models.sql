-- Jobs that train nothing, what came of jobs and the files that they made, and the models that people keep.

alter table jobs drop constraint jobs_kind_check;
alter table jobs add constraint jobs_kind_check check (kind in ('distil', 'sft', 'grpo', 'evaluate'));
alter table jobs add column outcome jsonb;
-- Only a worker with this label takes it.
alter table jobs add column label text check (char_length(label) between 1 and 60);
-- What people want to remember of it.
alter table jobs add column notes text not null default '' check (char_length(notes) <= 20000);

-- The request that made it, as the server's log names it.
alter table jobs add column request_id uuid;

create index jobs_of_kind on jobs (kind, id desc);

create table job_tags (
    tag            text not null check (char_length(tag) between 1 and 60),
    job_id         uuid not null references jobs (id),
    primary key (tag, job_id)
);

create index job_tags_of_job on job_tags (job_id);

-- Kinds of jobs that a worker does, all without any; and its labels.
alter table workers add column kinds text[] not null default '{}';
alter table workers add column labels text[] not null default '{}';

-- Files that a job made. Their bytes are in the object store, under their hash.
create table artifacts (
    id             uuid primary key,
    job_id         uuid not null references jobs (id),
    name           text not null check (char_length(name) between 1 and 200),
    sha256         text not null,
    bytes          bigint not null,
    created_at     timestamptz not null default now(),
    unique (job_id, name)
);

create index artifacts_of_hash on artifacts (sha256);

-- How good models are, as evaluations found it: a row for each model, dataset and mode.
create table measurements (
    job_id         uuid not null references jobs (id),
    place          integer not null,
    -- model:NAME or job:ID, as the recipe has it.
    model          text not null,
    numbers        jsonb not null,
    primary key (job_id, place)
);

create index measurements_of_model on measurements (model, job_id desc, place);

-- Models that have a name: those that the operator named when the server started, and what jobs trained.
create table models (
    id             uuid primary key,
    name           text not null unique check (char_length(name) between 1 and 120),
    -- The job that trained it; null of one that the operator named.
    job_id         uuid references jobs (id),
    is_endpoint    boolean not null default false,
    sha256         text not null,
    parameters     bigint,
    -- Markdown, for people.
    card           text not null default '',
    is_archived    boolean not null default false,
    created_by     text not null,
    created_at     timestamptz not null default now()
);

create index models_of_job on models (job_id) where job_id is not null;

-- Who was promoted to what; the newest row of a role says who has it.
create table promotions (
    role           text not null check (role in ('default', 'preview', 'teacher')),
    place          bigint not null generated always as identity,
    -- Null: nobody has it any more.
    model_id       uuid references models (id),
    created_by     text not null,
    created_at     timestamptz not null default now(),
    primary key (role, place)
);

create trigger promotions_keep_rows before update or delete on promotions
    for each row execute function refuse_change();
create trigger promotions_keep_all before truncate on promotions
    for each statement execute function refuse_change();
