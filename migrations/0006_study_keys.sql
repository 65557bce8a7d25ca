-- A study that was asked for twice, because the first answer got lost, is one study.

-- The client's name for the request that made it.
alter table studies add column idempotency_key text unique;
