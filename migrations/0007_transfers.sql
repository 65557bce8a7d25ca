-- Imports and exports: work in the background, and the record of what left and what came.

create table transfers (
    id              uuid primary key,
    direction       text not null check (direction in ('import', 'export')),
    state           text not null default 'queued'
                    check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- What was asked for, so that it can be asked for again.
    query           jsonb not null,
    title           text not null,
    done            bigint not null default 0,
    total           bigint not null default 0,
    file_name       text not null,
    bytes           bigint,
    sha256          text check (sha256 ~ '^[0-9a-f]{64}$'),
    -- Whether the file that was made is there; the record stays when it is removed.
    available       boolean not null default false,
    report          jsonb,
    error           text,
    -- How often a server began it: what keeps taking the server down is given up.
    attempts        integer not null default 0,
    -- Of whoever asked, so that a server that takes it up later writes the same name into the audit log.
    created_by_id   uuid,
    created_by      text not null,
    created_via     text not null,
    idempotency_key text unique,
    created_at      timestamptz not null default now(),
    finished_at     timestamptz
);

create index transfers_open on transfers (id) where state in ('queued', 'running');

-- People of imported studies: the same person of one study is one subject, however often they are imported.
alter table subjects add column imported_into uuid references studies (id);
alter table subjects add column imported_as text;
create unique index subjects_imported on subjects (imported_into, imported_as) where imported_into is not null;

-- Label files name images by their file's name.
create index images_by_name on images (name);
