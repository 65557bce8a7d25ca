-- Training jobs: what is to be done, who does it, and what came of it.
--
-- A worker holds a job by a lease. Every claim raises the job's attempt, and every write of a worker names its
-- attempt: what an earlier one still writes finds no row.

create table workers (
    id             uuid primary key,
    name           text not null,
    device         text not null,
    version        text not null,
    started_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now()
);

create table jobs (
    id             uuid primary key,
    kind           text not null check (kind in ('sft', 'grpo')),
    name           text not null check (char_length(name) between 1 and 120),
    -- TOML, as it came.
    recipe         text not null,
    state          text not null check (state in ('waiting', 'queued', 'running', 'done', 'failed', 'cancelled')),
    priority       smallint not null default 0 check (priority between -100 and 100),
    -- Not before; put off after a failure.
    run_after      timestamptz not null default now(),
    -- Times it was begun; the token that every write of a worker names.
    attempt        integer not null default 0,
    worker_id      uuid references workers (id),
    lease_until    timestamptz,
    is_cancelling  boolean not null default false,
    step           bigint not null default 0,
    steps          bigint not null default 0,
    -- The step of the newest checkpoint, and the one at which it failed last. A job that fails again and again
    -- without a new checkpoint in between is given up.
    safe_step      bigint not null default 0,
    failed_step    bigint not null default -1,
    failures       integer not null default 0,
    error          text,
    created_by     text not null,
    idempotency_key text unique,
    created_at     timestamptz not null default now(),
    started_at     timestamptz,
    finished_at    timestamptz,
    check ((state = 'running') = (lease_until is not null))
);

-- The queue, and what is under way: both stay small, whatever was done before.
create index jobs_queued on jobs (priority desc, id) where state = 'queued';
create index jobs_running on jobs (lease_until) where state = 'running';
create index jobs_waiting on jobs (id) where state = 'waiting';
create index jobs_of_state on jobs (state, id desc);

-- What must be done before.
create table job_needs (
    job_id         uuid not null references jobs (id),
    needs_id       uuid not null references jobs (id),
    primary key (job_id, needs_id),
    check (job_id <> needs_id)
);

create index job_needs_of on job_needs (needs_id);

create table job_attempts (
    job_id         uuid not null references jobs (id),
    attempt        integer not null,
    worker_id      uuid not null references workers (id),
    first_step     bigint not null,
    last_step      bigint not null,
    started_at     timestamptz not null default now(),
    ended_at       timestamptz,
    outcome        text check (outcome in ('done', 'failed', 'cancelled', 'released', 'lost')),
    error          text,
    primary key (job_id, attempt)
);

-- A row for each step and part, not for each number: a part has some twenty of them.
create table job_metrics (
    job_id         uuid not null references jobs (id),
    part           text not null check (part in ('train', 'validation')),
    step           bigint not null,
    attempt        integer not null,
    numbers        jsonb not null,
    -- The order in which they came.
    place          bigint not null generated always as identity,
    primary key (job_id, part, step)
);

create index job_metrics_in_order on job_metrics (job_id, place);

create table job_logs (
    job_id         uuid not null references jobs (id),
    place          bigint not null generated always as identity,
    attempt        integer not null,
    level          text not null check (level in ('info', 'warning', 'error')),
    text           text not null,
    at             timestamptz not null default now(),
    primary key (job_id, place)
);

-- Answers that reinforcement learning sampled, a few of each step, with what they were rewarded for.
create table job_completions (
    job_id         uuid not null references jobs (id),
    step           bigint not null,
    -- Within the step.
    place          integer not null,
    attempt        integer not null,
    image_id       uuid references images (id) on delete set null,
    label          double precision,
    text           text not null,
    reward         double precision not null,
    advantage      double precision not null,
    -- Each term by its name.
    rewards        jsonb not null,
    primary key (job_id, step, place)
);

create index job_completions_of_image on job_completions (image_id) where image_id is not null;
