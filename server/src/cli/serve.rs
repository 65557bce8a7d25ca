//! `qponder serve`: everything that the server needs is started here, in order, and stopped in the
//! reverse order.

mod roster;
mod welcome;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use qponder_pipeline::device::Place;
use sqlx::postgres::PgConnectOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::places;
use super::worker::{host_name, models, teachers};
use crate::accounts::limits::Limits;
use crate::accounts::passwords::Passwords;
use crate::api::{self, App, Exposure, PublicUrl, Reach, Shelf};
use crate::decoding::Decoder;
use crate::file_count::Files;
use crate::inference::{self, Roster, Surroundings};
use crate::jobs::{JobNews, Places, Worker, WorkerSettings, tidy};
use crate::logging::{self, LogFormat};
use crate::metrics::Metrics;
use crate::postgres::Cluster;
use crate::registry::Registry;
use crate::store::leases::Takes;
use crate::store::objects::{Location, Objects};
use crate::store::{self, Store};
use crate::transfers;
use crate::uptime::Uptime;

/// Arguments of `qponder serve`.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder serve --local                           for you alone, on http://127.0.0.1:3000
  qponder serve                                   with accounts; it prints a link for the first admin
  qponder serve --allow-remote --public-url https://q.example.org --trusted-proxy 10.0.0.1
  qponder serve --model ~/Qwen2.5-VL-3B-Instruct  any Qwen2.5-VL checkpoint
  qponder serve --model models/nano-rl --model models/nano-ci --teacher-endpoint teacher.toml
                                                  two models and a teacher, to compare
  qponder serve --listen 127.0.0.1:0              any free port; it is printed
  qponder serve --database-url postgres://me@db/qponder --log-format json
  AWS_ENDPOINT_URL=https://minio.example AWS_ACCESS_KEY_ID=me AWS_SECRET_ACCESS_KEY=... \\
    qponder serve --object-store s3://qponder/team  images, models and checkpoints in a bucket")]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:3000", env = "QPONDER_LISTEN")]
    listen: SocketAddr,
    /// Where images and the embedded database are kept.
    #[arg(long, value_name = "DIR", default_value = "data", env = "QPONDER_DATA_DIR")]
    data_dir: PathBuf,
    /// Use this Postgres instead of the embedded one.
    #[arg(long, value_name = "URL", env = "QPONDER_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where images, models and checkpoints are kept: a directory, or s3://BUCKET/PREFIX of anything that speaks S3
    /// [default: `objects` in the data directory]. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, for other
    /// servers than Amazon's, AWS_ENDPOINT_URL say how to get there.
    #[arg(long, value_name = "WHERE", env = "QPONDER_OBJECT_STORE")]
    object_store: Option<Location>,
    /// A Qwen2.5-VL checkpoint directory [default: models/nano]. May be given several times; the first is the
    /// default model, and any can be asked by its name.
    #[arg(long, value_name = "DIR", env = "QPONDER_MODEL")]
    model: Vec<PathBuf>,
    /// A checkpoint directory of a teacher, to compare with; see --teacher-prompt.
    #[arg(long, value_name = "DIR", env = "QPONDER_TEACHER")]
    teacher: Option<PathBuf>,
    /// A TOML file with the `[endpoint]` of a teacher: an OpenAI-compatible chat endpoint. Its keys are those of a
    /// distillation's `[endpoint]`, see `qponder recipe show-defaults judge`. The key comes from the environment
    /// variable that `api_key_env` names. Distillations may ask it too. May be given several times.
    #[arg(long, value_name = "FILE", env = "QPONDER_TEACHER_ENDPOINT")]
    teacher_endpoint: Vec<PathBuf>,
    /// How teachers are asked for reasons.
    #[arg(long, value_enum, value_name = "PROMPT", default_value = "expert", env = "QPONDER_TEACHER_PROMPT")]
    teacher_prompt: roster::TeacherPrompt,
    /// Where to run the models: cpu, or cuda:N where this program was built for CUDA.
    #[arg(long, value_name = "DEVICE", default_value_t, env = "QPONDER_DEVICE")]
    device: Place,
    /// The built page [default: target/web].
    #[arg(long, value_name = "DIR", env = "QPONDER_WEB_DIR")]
    web_dir: Option<PathBuf>,
    /// Local mode: no accounts. Whoever can use this machine is the administrator; other addresses than
    /// loopback are refused.
    #[arg(long, env = "QPONDER_LOCAL", conflicts_with_all = ["allow_remote", "public_url", "trusted_proxy"])]
    local: bool,
    /// Listen on an address that other machines can reach. Signing in from them needs HTTPS, so put a
    /// proxy with TLS before the server.
    #[arg(long)]
    allow_remote: bool,
    /// Where people find the server, if not at the address on which it listens: links begin with it, and
    /// its pages may change things. `https` binds sessions to it.
    #[arg(long, value_name = "URL", env = "QPONDER_PUBLIC_URL")]
    public_url: Option<PublicUrl>,
    /// A proxy whose `X-Forwarded-For` is believed, so that limits on guessing count its clients apart;
    /// may be given several times.
    #[arg(long, value_name = "ADDRESS", env = "QPONDER_TRUSTED_PROXY", value_delimiter = ',')]
    trusted_proxy: Vec<IpAddr>,
    /// Days after which the checkpoints and files of a job go that failed or was cancelled; until then it can be tried
    /// again from there.
    #[arg(long, value_name = "DAYS", default_value_t = 30, env = "QPONDER_KEEP_GIVEN_UP")]
    keep_given_up: u32,
    /// Do no jobs; `qponder worker` does them.
    #[arg(long, env = "QPONDER_NO_WORKER")]
    no_worker: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text", env = "QPONDER_LOG_FORMAT")]
    log_format: LogFormat,
}

/// How long running answers and open connections may take to end when the server stops.
pub const GRACE: Duration = Duration::from_secs(10);

/// Name of the database on the embedded cluster.
pub const DATABASE: &str = "qponder";

/// Runs the server until a signal ends it.
///
/// # Errors
/// When something that it needs cannot be had.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    logging::start(args.log_format);
    let reach = reach(args)?;
    // What can fail quickly comes first, so that a mistake is told before anything is made.
    let listener =
        TcpListener::bind(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    listener.set_nonblocking(true)?;
    let (data_dir, _lock) = open_data_dir(&args.data_dir)?;
    let roster = roster::load(args)?;

    // On this thread: Postgres ends with the thread that starts it (see `Cluster::start`).
    let mut cluster = match args.database_url {
        Some(_) => None,
        None => Some(Cluster::start(&data_dir)?),
    };
    let options = match (&args.database_url, &cluster) {
        (Some(url), _) => store::parse_url(url).context("--database-url")?,
        (None, Some(cluster)) => cluster.options(),
        (None, None) => bail!("there is no database"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let web_dir = args.web_dir.clone().unwrap_or_else(|| places::find("target/web"));
    let teachers = teachers(&args.teacher_endpoint)?;
    let places = Places::new(&models(&args.model), &teachers, data_dir.join("jobs"));
    let keep_given_up = Duration::from_secs(u64::from(args.keep_given_up) * 24 * 3600);
    let setup = Setup {
        listener,
        reach,
        roster,
        objects: places::objects(args.object_store.as_ref(), &data_dir),
        keep_given_up,
        data_dir,
        web_dir,
        device: args.device,
        places,
        works: !args.no_worker,
    };
    let served = runtime.block_on(async {
        let options = match cluster {
            Some(_) => {
                store::create_database(&options, DATABASE).await?;
                options.database(DATABASE)
            }
            None => options,
        };
        serve(setup, options).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(cluster) = &mut cluster {
        cluster.stop();
    }
    tracing::info!("stopped");
    served
}

/// Who will be answered, as the arguments say.
fn reach(args: &ServeArgs) -> anyhow::Result<Reach> {
    if !args.listen.ip().is_loopback() && args.local {
        bail!(
            "{} can be reached from other machines, and --local makes whoever asks the administrator; listen on \
             127.0.0.1, or pass --allow-remote instead of --local",
            args.listen
        );
    }
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        bail!(
            "{} can be reached from other machines; listen on 127.0.0.1, or pass --allow-remote if that is meant",
            args.listen
        );
    }
    if let Some(url) =
        args.public_url.as_ref().filter(|url| !url.is_https() && !api::is_loopback_name(url.host()))
    {
        bail!("--public-url {}: signing in over the network needs https", url.as_str());
    }
    Ok(Reach {
        exposure: if args.allow_remote { Exposure::Remote } else { Exposure::Loopback },
        local: args.local,
        proxies: args.trusted_proxy.iter().map(IpAddr::to_canonical).collect(),
        public_url: args.public_url.clone(),
    })
}

struct Setup {
    listener: TcpListener,
    reach: Reach,
    roster: Roster,
    data_dir: PathBuf,
    objects: Location,
    keep_given_up: Duration,
    web_dir: PathBuf,
    device: Place,
    /// What jobs may name.
    places: Places,
    /// Whether it does jobs itself.
    works: bool,
}

async fn serve(setup: Setup, options: PgConnectOptions) -> anyhow::Result<()> {
    // Before anything is said: whoever reads the address may stop the server at once.
    let mut signals = Signals::listen()?;
    let (store, _claim) = Store::open(options).await?;
    let objects = Objects::connect(&setup.objects)
        .await
        .with_context(|| format!("--object-store {}", setup.objects))?;
    let (decoder, metrics) = (Decoder::new(), Arc::new(Metrics::default()));
    let around = Surroundings { store: &store, objects: &objects, decoder: &decoder, metrics: &metrics };
    let (inference, running) = inference::start(setup.roster, &around)?;
    let registry = Registry::start(
        store.clone(),
        objects.clone(),
        inference.clone(),
        setup.data_dir.join("models"),
        setup.device,
    );
    let registry = registry.await?;
    let passwords = tokio::task::spawn_blocking(Passwords::new).await??;
    let limits = Arc::new(Limits::default());
    let listener = tokio::net::TcpListener::from_std(setup.listener)?;
    let address = listener.local_addr()?;
    let welcome = welcome::words(&store, &setup.reach, address).await?;
    let shelf = Shelf {
        store: store.clone(),
        objects: objects.clone(),
        decoder: decoder.clone(),
        metrics: Arc::clone(&metrics),
    };
    let (transfers, transferring) = transfers::start(shelf, setup.data_dir.join("transfers")).await?;
    let files = Files::new(store.clone(), objects.clone());
    let (tidied_objects, tidied_places) = (objects.clone(), setup.places.clone());
    let (job_news, listening) = JobNews::start(store.clone());
    let worker = setup.works.then(|| {
        Worker::start(WorkerSettings {
            store: store.clone(),
            objects: objects.clone(),
            places: setup.places.clone(),
            name: host_name(),
            device: setup.device.to_string(),
            takes: Takes::default(),
            news: job_news.clone(),
        })
    });
    let app = App {
        store: store.clone(),
        objects,
        decoder,
        inference: inference.clone(),
        metrics,
        passwords,
        limits,
        transfers,
        job_news,
        places: setup.places,
        registry,
        files,
        uptime: Uptime::new(&setup.data_dir),
    };
    let router = api::router(app, setup.reach, &setup.web_dir);
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let (stop, mut stopped) = watch::channel(false);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let server = tokio::spawn(server.into_future());
    let resumed = store.clone();
    let resuming = tokio::spawn(async move {
        if let Err(error) = inference.resume(&resumed).await {
            tracing::error!(%error, "what an earlier server left could not be taken up");
        }
    });
    let reading = tokio::spawn(read_earlier(store.clone()));
    let tidying = tokio::spawn(tidy(store.clone(), tidied_objects, tidied_places, setup.keep_given_up));
    tracing::info!(%address, "listening");
    // For people and for scripts, on standard output: the address, then what else there is to know. Nobody
    // may be reading it. A link is a secret, so it goes into no log.
    let _ = writeln!(std::io::stdout(), "Q-Ponder is at http://{address}{welcome}");

    signals.next().await;
    tracing::info!("stopping; a second signal stops at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(130);
    });
    stop.send_replace(true);
    resuming.abort();
    reading.abort();
    tidying.abort();
    transferring.stop(GRACE).await;
    if let Some(worker) = worker {
        worker.stop(GRACE).await;
    }
    listening.abort();
    running.stop(GRACE).await;
    match tokio::time::timeout(GRACE, server).await {
        Ok(ended) => ended??,
        Err(_) => tracing::warn!("some connections were cut"),
    }
    store.close().await;
    Ok(())
}

/// Reads the answers that an earlier version has not read for comparisons, while everything else goes on.
async fn read_earlier(store: Store) {
    loop {
        match store.read_earlier().await {
            Ok(0) => return,
            Ok(count) => tracing::info!(count, "read earlier answers for comparisons"),
            Err(error) => {
                tracing::error!(%error, "earlier answers could not be read; comparisons lack them until the next start");
                return;
            }
        }
    }
}

/// The signals that end the server.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Makes the data directory where there is none and claims it for this process.
///
/// # Errors
/// When it cannot be made, or a server has it.
pub fn open_data_dir(directory: &Path) -> anyhow::Result<(PathBuf, File)> {
    let named = || format!("data directory {}", directory.display());
    fs::create_dir_all(directory).with_context(named)?;
    let directory = directory.canonicalize().with_context(named)?;
    // What people uploaded is nobody else's business.
    let objects = directory.join("objects");
    DirBuilder::new().mode(0o700).recursive(true).create(&objects).with_context(named)?;
    let lock = File::create(directory.join("lock")).with_context(named)?;
    match lock.try_lock() {
        Ok(()) => Ok((directory, lock)),
        Err(TryLockError::WouldBlock) => {
            bail!("{} is in use by another qponder server; pass another --data-dir", named())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(named),
    }
}
