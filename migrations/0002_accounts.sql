-- Accounts: users, the sessions and tokens by which they are known, links, and the audit log.
--
-- Secrets are not here: passwords as Argon2id strings, sessions, tokens and links as SHA-256 of 256
-- random bits.

create table users (
    id             uuid primary key,
    email          text not null unique check (email = lower(email)),
    name           text not null,
    role           text not null check (role in ('admin', 'engineer', 'reviewer', 'annotator')),
    password_hash  text not null,
    created_at     timestamptz not null default now(),
    -- Users are disabled, never deleted: votes and the audit log name them.
    disabled_at    timestamptz
);

create table sessions (
    id             uuid primary key,
    user_id        uuid not null references users (id),
    secret_sha256  bytea not null unique check (length(secret_sha256) = 32),
    -- What the browser called itself.
    client         text not null,
    created_at     timestamptz not null default now(),
    last_seen_at   timestamptz not null default now(),
    expires_at     timestamptz not null
);

create index sessions_of_user on sessions (user_id);

create table api_tokens (
    id             uuid primary key,
    user_id        uuid not null references users (id),
    name           text not null,
    secret_sha256  bytea not null unique check (length(secret_sha256) = 32),
    scopes         text[] not null check (cardinality(scopes) > 0),
    created_at     timestamptz not null default now(),
    last_used_at   timestamptz,
    expires_at     timestamptz
);

create index api_tokens_of_user on api_tokens (user_id);

-- Links that work once: with a role for a new user, with a user for a new password.
create table invites (
    id             uuid primary key,
    secret_sha256  bytea not null unique check (length(secret_sha256) = 32),
    role           text check (role in ('admin', 'engineer', 'reviewer', 'annotator')),
    user_id        uuid references users (id),
    note           text not null default '',
    created_by     text not null,
    created_at     timestamptz not null default now(),
    expires_at     timestamptz not null,
    -- Used or taken back.
    closed_at      timestamptz,
    check ((role is null) <> (user_id is null))
);

create index invites_open on invites (id) where closed_at is null;

-- Who changed what, when. No key refers to users: the log says what was true then, whatever becomes
-- of the rows.
create table audit_log (
    id             uuid primary key,
    at             timestamptz not null default now(),
    actor_id       uuid,
    actor          text not null,
    via            text not null check (via in ('session', 'token', 'link', 'local', 'command')),
    action         text not null,
    object         uuid,
    detail         text not null default '',
    request_id     uuid
);

create index audit_log_of_object on audit_log (object, id desc) where object is not null;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, tg_op using errcode = 'insufficient_privilege';
end
$$;

create trigger audit_log_keeps_rows before update or delete on audit_log
    for each row execute function refuse_change();
create trigger audit_log_keeps_all before truncate on audit_log
    for each statement execute function refuse_change();
