//! `qponder worker`: does jobs beside a server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use qponder_pipeline::device::Place;
use qponder_shared::job::JobKind;
use qponder_shared::recipe::{EndpointRecipe, TeacherRecipe};

use super::places;
use super::serve::{DATABASE, GRACE, Signals};
use crate::jobs::{JobNews, Places, Worker, WorkerSettings, tidy};
use crate::logging::{self, LogFormat};
use crate::postgres;
use crate::store::leases::Takes;
use crate::store::objects::{Location, Objects};
use crate::store::{self, Store};

/// Connections to the database: one that listens, and one that writes.
const CONNECTIONS: u32 = 3;

/// Do jobs beside a running server, one at a time: distil, train, evaluate.
///
/// It needs the server's database, and either its data directory, where images, checkpoints and models lie, or the
/// same object store in a bucket: then any directory does for what is under way here. SIGTERM and Ctrl-C write a
/// checkpoint and give the job back; whoever takes it up goes on from there.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder worker                                    beside a server on this machine
  qponder worker --kinds distil,evaluate            leaves trainings to others
  qponder worker --device cuda:0 --label big-gpu    also takes jobs that want that label
  qponder worker --device cuda:0 --name big --model ~/Qwen2.5-VL-3B-Instruct
  qponder worker --data-dir /mnt/qponder --database-url postgres://me@db/qponder
  qponder worker --data-dir /scratch --database-url postgres://me@db/qponder --object-store s3://qponder/team
                                                    on a machine that shares no disk with the server")]
pub struct WorkerArgs {
    /// The server's data directory.
    #[arg(long, value_name = "DIR", default_value = "data", env = "QPONDER_DATA_DIR")]
    data_dir: PathBuf,
    /// The server's Postgres, where it is not the embedded one.
    #[arg(long, value_name = "URL", env = "QPONDER_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where images, models and checkpoints are kept: a directory, or s3://BUCKET/PREFIX of anything that speaks S3
    /// [default: `objects` in the data directory]. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for other
    /// servers than Amazon's, AWS_ENDPOINT_URL say how to get there.
    #[arg(long, value_name = "WHERE", env = "QPONDER_OBJECT_STORE")]
    object_store: Option<Location>,
    /// A checkpoint directory that jobs may start from, by the directory's name [default: models/nano]. May be
    /// given several times.
    #[arg(long, value_name = "DIR", env = "QPONDER_MODEL")]
    model: Vec<PathBuf>,
    /// A TOML file with the `[endpoint]` of a teacher that distillations may ask, by the model's name. May be given
    /// several times.
    #[arg(long, value_name = "FILE", env = "QPONDER_TEACHER_ENDPOINT")]
    teacher_endpoint: Vec<PathBuf>,
    /// Where to train: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t, env = "QPONDER_DEVICE")]
    device: Place,
    /// Do jobs of these kinds alone, with commas between them: distil, sft, grpo, evaluate, assess_batch,
    /// export [default: all].
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<JobKind>,
    /// Also take jobs that want this label, such as `big-gpu`. May be given several times.
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Days after which the files of a job go that failed or was cancelled.
    #[arg(long, value_name = "DAYS", default_value_t = 30, env = "QPONDER_KEEP_GIVEN_UP")]
    keep_given_up: u32,
    /// What people call it [default: the machine's name].
    #[arg(long)]
    name: Option<String>,
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text", env = "QPONDER_LOG_FORMAT")]
    log_format: LogFormat,
}

/// Works until a signal ends it.
///
/// # Errors
/// When the database or the data directory cannot be had.
pub fn run(args: &WorkerArgs) -> anyhow::Result<()> {
    logging::start(args.log_format);
    let named = || format!("data directory {}", args.data_dir.display());
    // Where the database and the object store are elsewhere it is for what is under way alone.
    if args.database_url.is_some() && args.object_store.is_some() {
        std::fs::create_dir_all(&args.data_dir).with_context(named)?;
    }
    let data_dir = args.data_dir.canonicalize().with_context(named)?;
    let options = match &args.database_url {
        Some(url) => store::parse_url(url).context("--database-url")?,
        None => postgres::options_of_running(&data_dir)?.database(DATABASE),
    };
    let (models, teachers) = (models(&args.model), teachers(&args.teacher_endpoint)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let store = Store::beside(options, CONNECTIONS);
        store.ping().await?;
        let (news, listening) = JobNews::start(store.clone());
        let location = places::objects(args.object_store.as_ref(), &data_dir);
        let objects =
            Objects::connect(&location).await.with_context(|| format!("--object-store {location}"))?;
        let places = Places::new(&models, &teachers, data_dir.join("jobs"));
        let keep = Duration::from_secs(u64::from(args.keep_given_up) * 24 * 3600);
        let tidying = tokio::spawn(tidy(store.clone(), objects.clone(), places.clone(), keep));
        let name = args.name.clone().unwrap_or_else(host_name);
        tracing::info!(name, device = %args.device, "waiting for jobs");
        let worker = Worker::start(WorkerSettings {
            store: store.clone(),
            objects,
            places,
            name,
            device: args.device.to_string(),
            takes: Takes { kinds: args.kinds.clone(), labels: args.label.clone() },
            news,
        });
        signals.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
        worker.stop(GRACE).await;
        listening.abort();
        tidying.abort();
        store.close().await;
        Ok(())
    })
}

/// The directories of models, or the one that ships with Q-Ponder.
pub fn models(named: &[PathBuf]) -> Vec<PathBuf> {
    if named.is_empty() { vec![places::model(None)] } else { named.to_vec() }
}

fn kind(name: &str) -> Result<JobKind, String> {
    JobKind::of_name(name).ok_or_else(|| {
        format!(
            "{name:?} is none of {}",
            JobKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
        )
    })
}

/// The endpoints that files describe.
pub fn teachers(files: &[PathBuf]) -> anyhow::Result<Vec<EndpointRecipe>> {
    let read = |file: &PathBuf| {
        let named = || format!("--teacher-endpoint {}", file.display());
        let text = std::fs::read_to_string(file).with_context(named)?;
        Ok(TeacherRecipe::parse(&text).with_context(named)?.endpoint)
    };
    files.iter().map(read).collect()
}

/// What this machine is called.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}
