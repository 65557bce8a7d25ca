-- Jobs that assess batches of images, and jobs that export models.

alter table jobs drop constraint jobs_kind_check;
alter table jobs add constraint jobs_kind_check
    check (kind in ('distil', 'sft', 'grpo', 'evaluate', 'assess_batch', 'export'));

-- The job whose answer it is; null of what somebody asked for by itself. Each model answers once about each image.
alter table assessments add column job_id uuid references jobs (id);
create unique index assessments_of_job on assessments (job_id, image_id, model_sha256) where job_id is not null;
