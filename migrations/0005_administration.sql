-- Filters of the audit log, and failures of the last day.

create index audit_log_of_actor on audit_log (actor, id desc);
-- The noun of an action such as `study.create`.
create index audit_log_of_noun on audit_log (split_part(action, '.', 1), id desc);

create index assessments_failed on assessments (finished_at desc) where status = 'failed';
