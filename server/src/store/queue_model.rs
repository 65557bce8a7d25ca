//! The queue against a model of it: long random sequences of everything that people and workers do, on a real
//! Postgres, and after each step the rows are what the model says.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use qponder_shared::job::{CreateJob, Job, JobKind, JobState};
use qponder_shared::{JobId, WorkerId};

use super::audit::{By, Via};
use super::jobs::{ChangedJob, MadeJob, Which};
use super::leases::{End, Happenings, Lease, MAX_FAILURES, Renewed, Takes};
use super::{Store, create_database};
use crate::postgres::Cluster;

/// Sequences, and the steps of each.
const SEQUENCES: u64 = 12;
const STEPS: u64 = 150;
/// A lease that no test outlives.
const LONG: Duration = Duration::from_secs(3600);

/// What the model knows of a job.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    state: JobState,
    needs: Vec<JobId>,
    priority: i16,
    label: Option<String>,
    attempt: u32,
    failures: u32,
    is_cancelling: bool,
    step: u64,
    safe: u64,
    failed: Option<u64>,
    /// It failed, so it is put off; the test lets time pass by hand.
    is_put_off: bool,
    /// Its lease has run out.
    is_expired: bool,
}

#[derive(Default)]
struct Model {
    jobs: BTreeMap<JobId, Known>,
}

impl Model {
    fn is_done(&self, id: JobId) -> bool {
        self.jobs[&id].state == JobState::Done
    }

    /// The job that a worker gets next.
    fn next(&self, takes: &Takes) -> Option<JobId> {
        let fits = |job: &Known| {
            job.state == JobState::Queued
                && !job.is_put_off
                && job.label.as_ref().is_none_or(|label| takes.labels.contains(label))
        };
        let ready = self.jobs.iter().filter(|(_, job)| fits(job));
        ready.min_by_key(|(id, job)| (-i32::from(job.priority), **id)).map(|(id, _)| *id)
    }

    fn fail(&mut self, id: JobId, most: u32) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let is_new = job.failed.is_none_or(|failed| job.safe > failed);
        job.failures = if is_new { 1 } else { job.failures + 1 };
        job.failed = Some(job.safe);
        job.state = match (job.is_cancelling, job.failures >= most) {
            (true, _) => JobState::Cancelled,
            (false, true) => JobState::Failed,
            (false, false) => JobState::Queued,
        };
        job.is_put_off = true;
        (job.is_cancelling, job.is_expired) = (false, false);
    }

    /// What every claim does first: leases that ran out are failures.
    fn put_back(&mut self) {
        let lost: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| job.is_expired).map(|(id, _)| *id).collect();
        for id in lost {
            self.fail(id, MAX_FAILURES.unsigned_abs());
        }
    }

    fn finish(&mut self, id: JobId, state: JobState) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = state;
            (job.is_cancelling, job.is_expired) = (false, false);
        }
        if state != JobState::Done {
            return;
        }
        let waiting: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.state == JobState::Waiting && job.needs.contains(&id))
            .filter(|(_, job)| job.needs.iter().all(|need| self.is_done(*need)))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.state = JobState::Queued;
                job.is_put_off = false;
            }
        }
    }
}

/// Numbers that look random and are the same in each run of a seed (xorshift64*, Vigna, 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.roll(all.len()))
    }
}

struct Play {
    store: Store,
    model: Model,
    dice: Dice,
    by: By,
    worker: WorkerId,
    /// Every lease that there ever was, stale ones too.
    leases: Vec<Lease>,
    trace: Vec<String>,
}

impl Play {
    /// Whether a lease is still the job's.
    fn holds(&self, lease: &Lease) -> bool {
        let job = &self.model.jobs[&lease.job];
        job.state == JobState::Running && job.attempt == lease.attempt.unsigned_abs()
    }

    async fn step(&mut self) {
        let ids: Vec<JobId> = self.model.jobs.keys().copied().collect();
        match self.dice.roll(12) {
            0 | 1 => self.create(&ids).await,
            2..=4 => self.claim().await,
            5 => self.renew().await,
            6 | 7 => self.record().await,
            8 | 9 => self.end().await,
            10 => self.change(&ids).await,
            _ => self.pass_time(&ids).await,
        }
    }

    async fn create(&mut self, ids: &[JobId]) {
        let needs: Vec<JobId> = match self.dice.roll(2) {
            0 => self.dice.of(ids).copied().into_iter().collect(),
            _ => Vec::new(),
        };
        let priority = self.dice.roll(3) as i16 - 1;
        let label = (self.dice.roll(4) == 0).then(|| "big".to_owned());
        let new = CreateJob {
            kind: JobKind::Sft,
            name: "modelled".to_owned(),
            recipe: String::new(),
            needs: Vec::new(),
            priority,
            label: label.clone(),
        };
        let made = self.store.add_job(&new, &needs, None, &self.by).await.expect("it is made");
        let MadeJob::New(job) = made else { panic!("it is no new job") };
        let is_ready = needs.iter().all(|need| self.model.is_done(*need));
        let state = if is_ready { JobState::Queued } else { JobState::Waiting };
        self.trace.push(format!("create {} needing {needs:?}", job.id));
        let known = Known {
            state,
            needs,
            priority,
            label,
            attempt: 0,
            failures: 0,
            is_cancelling: false,
            step: 0,
            safe: 0,
            failed: None,
            is_put_off: false,
            is_expired: false,
        };
        self.model.jobs.insert(job.id, known);
    }

    async fn claim(&mut self) {
        let labels = if self.dice.roll(2) == 0 { vec!["big".to_owned()] } else { Vec::new() };
        let takes = Takes { kinds: Vec::new(), labels };
        let lease = self.store.claim(self.worker, &takes, LONG).await.expect("it is asked");
        self.model.put_back();
        let expected = self.model.next(&takes);
        self.trace.push(format!("claim {:?}", lease.as_ref().map(|lease| (lease.job, lease.attempt))));
        assert_eq!(lease.as_ref().map(|lease| lease.job), expected, "another job was claimed");
        if let Some(lease) = lease {
            let job = self.model.jobs.get_mut(&lease.job).expect("it is known");
            job.state = JobState::Running;
            job.attempt += 1;
            assert_eq!(lease.attempt.unsigned_abs(), job.attempt, "the token is another one");
            self.leases.push(lease);
        }
    }

    async fn renew(&mut self) {
        let Some(lease) = self.dice.of(&self.leases).cloned() else { return };
        let renewed = self.store.renew(&lease, self.worker, LONG).await.expect("it is asked");
        self.trace.push(format!("renew {} {}", lease.job, lease.attempt));
        let is_cancelling = self.model.jobs[&lease.job].is_cancelling;
        let expected = match (self.holds(&lease), is_cancelling) {
            (false, _) => Renewed::Lost,
            (true, true) => Renewed::Cancelling,
            (true, false) => Renewed::Held,
        };
        assert_eq!(renewed, expected);
        if self.holds(&lease) {
            // A lease that ran out and that nobody took is renewed.
            self.model.jobs.get_mut(&lease.job).expect("it is known").is_expired = false;
        }
    }

    async fn record(&mut self) {
        let Some(lease) = self.dice.of(&self.leases).cloned() else { return };
        let holds = self.holds(&lease);
        let step = self.model.jobs[&lease.job].step + 1;
        let saved = (self.dice.roll(2) == 0).then_some(step);
        let what = Happenings { step: Some(step), saved, ..Happenings::default() };
        let held = self.store.record(&lease, &what).await.expect("it is written");
        self.trace.push(format!("record {} {} step {step}, saved {saved:?}", lease.job, lease.attempt));
        assert_eq!(held, holds, "a stale worker wrote, or one that holds the job could not");
        if holds {
            let job = self.model.jobs.get_mut(&lease.job).expect("it is known");
            job.step = step;
            job.safe = saved.unwrap_or(job.safe);
        }
    }

    async fn end(&mut self) {
        let Some(lease) = self.dice.of(&self.leases).cloned() else { return };
        let holds = self.holds(&lease);
        let end = match self.dice.roll(6) {
            0 | 1 => End::Done(None),
            2 => End::Failed("it failed".to_owned()),
            3 => End::Hopeless("it cannot be".to_owned()),
            4 => End::Cancelled,
            _ => End::Released,
        };
        let held = self.store.end_attempt(&lease, &end).await.expect("it is ended");
        self.trace.push(format!("end {} {} {end:?}", lease.job, lease.attempt));
        assert_eq!(held, holds, "a stale worker ended a job, or one that holds it could not");
        if !holds {
            return;
        }
        let is_cancelling = self.model.jobs[&lease.job].is_cancelling;
        match end {
            End::Done(_) => self.model.finish(lease.job, JobState::Done),
            End::Cancelled => self.model.finish(lease.job, JobState::Cancelled),
            End::Released if is_cancelling => self.model.finish(lease.job, JobState::Cancelled),
            End::Released => self.model.finish(lease.job, JobState::Queued),
            End::Failed(_) => self.model.fail(lease.job, MAX_FAILURES.unsigned_abs()),
            End::Hopeless(_) => self.model.fail(lease.job, 1),
        }
    }

    async fn change(&mut self, ids: &[JobId]) {
        let Some(id) = self.dice.of(ids).copied() else { return };
        let job = self.model.jobs.get_mut(&id).expect("it is known");
        if self.dice.roll(2) == 0 {
            self.trace.push(format!("cancel {id}"));
            let changed = self.store.cancel_job(id, &self.by).await.expect("it is asked");
            let is_refused = job.state.is_final();
            assert_eq!(matches!(changed, ChangedJob::Refused(_)), is_refused);
            match job.state {
                JobState::Running => job.is_cancelling = true,
                JobState::Waiting | JobState::Queued => job.state = JobState::Cancelled,
                _ => {}
            }
        } else {
            self.trace.push(format!("retry {id}"));
            let changed = self.store.retry_job(id, &self.by).await.expect("it is asked");
            let can = matches!(job.state, JobState::Failed | JobState::Cancelled);
            assert_eq!(matches!(changed, ChangedJob::Job(_)), can);
            if can {
                (job.failures, job.is_put_off, job.is_cancelling) = (0, false, false);
                let needs = job.needs.clone();
                let is_ready = needs.iter().all(|need| self.model.is_done(*need));
                let state = if is_ready { JobState::Queued } else { JobState::Waiting };
                self.model.jobs.get_mut(&id).expect("it is known").state = state;
            }
        }
    }

    /// Time passes: a lease runs out, or what was put off is ready.
    async fn pass_time(&mut self, ids: &[JobId]) {
        let Some(id) = self.dice.of(ids).copied() else { return };
        let job = self.model.jobs.get_mut(&id).expect("it is known");
        self.trace.push(format!("time passes for {id}"));
        job.is_expired = job.state == JobState::Running;
        job.is_put_off = false;
        sqlx::query(
            "update jobs set run_after = now(), lease_until = case when state = 'running' then now() - interval '1 second' end \
             where id = $1",
        )
        .bind(id.0)
        .execute(&self.store.pool)
        .await
        .expect("time passes");
    }

    /// Compares every row with the model.
    async fn compare(&self) {
        let rows = self.store.jobs(&Which::All, None, 10_000).await.expect("rows");
        assert_eq!(rows.len(), self.model.jobs.len(), "jobs were lost");
        for row in rows {
            let known = &self.model.jobs[&row.id];
            let shown = |job: &Job| (job.state, job.attempt, job.failures, job.is_cancelling, job.step);
            let expected = (known.state, known.attempt, known.failures, known.is_cancelling, known.step);
            assert_eq!(shown(&row), expected, "{}:\n{}", row.id, self.trace.join("\n"));
        }
        let two: i64 = sqlx::query_scalar(
            "select count(*) from (select job_id from job_attempts where ended_at is null group by job_id having count(*) > 1) twice",
        )
        .fetch_one(&self.store.pool)
        .await
        .expect("a count");
        assert_eq!(two, 0, "two attempts of one job are open:\n{}", self.trace.join("\n"));
    }
}

#[test]
fn the_queue_does_what_its_model_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    // Postgres runs as another user where the tests run as root.
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("permissions");
    let cluster = Cluster::start(&data).expect("Postgres");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        create_database(&cluster.options(), "model").await.expect("a database");
        let (store, _claim) = Store::open(cluster.options().database("model")).await.expect("a store");
        let worker = WorkerId::new();
        store.add_worker(worker, "modelled", "cpu", &Takes::default()).await.expect("a worker");
        for seed in 1..=SEQUENCES {
            let by = By { user: None, name: format!("seed {seed}"), via: Via::Command, request: None };
            for table in ["job_needs", "job_attempts", "jobs"] {
                let statement = sqlx::AssertSqlSafe(format!("delete from {table}"));
                sqlx::query(statement).execute(&store.pool).await.expect("an empty queue");
            }
            let mut play = Play {
                store: store.clone(),
                model: Model::default(),
                dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
                by,
                worker,
                leases: Vec::new(),
                trace: vec![format!("seed {seed}")],
            };
            for _ in 0..STEPS {
                play.step().await;
                play.compare().await;
            }
        }
        store.close().await;
    });
}
