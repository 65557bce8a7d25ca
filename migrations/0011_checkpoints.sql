-- What jobs can go on from on other machines.

-- A state of a job from which it can go on, kept in the object store.
create table job_checkpoints (
    job_id         uuid not null references jobs (id),
    step           bigint not null,
    -- The attempt that kept it.
    attempt        integer not null,
    -- False while its pieces are being written.
    is_whole       boolean not null default false,
    created_at     timestamptz not null default now(),
    primary key (job_id, step)
);

-- Its files, piece by piece. Their bytes are in the object store, under their hash.
create table job_checkpoint_pieces (
    job_id         uuid not null,
    step           bigint not null,
    name           text not null check (char_length(name) between 1 and 200),
    place          integer not null,
    sha256         text not null,
    bytes          bigint not null,
    primary key (job_id, step, name, place),
    foreign key (job_id, step) references job_checkpoints (job_id, step) on delete cascade
);

create index job_checkpoint_pieces_of_hash on job_checkpoint_pieces (sha256);

-- Those whose files are kept until somebody tries them again, or gives up.
create index jobs_given_up on jobs (finished_at) where state in ('failed', 'cancelled');
