//! The embedded database: a private Postgres cluster under the data directory.
//!
//! It is made with the system's own `initdb`, listens on a Unix socket alone, in a directory that
//! only its account can enter, and lives exactly as long as the server: the server starts it, stops
//! it, and should the server be killed, the kernel tells Postgres to shut down. What an earlier
//! server left, running or crashed, is stopped or recovered at the next start.

mod account;
mod binaries;

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal, test_kill_process};
use sqlx::postgres::PgConnectOptions;

use account::Account;
use binaries::Binaries;
pub use binaries::Tools;

/// Why there is no embedded database.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No Postgres on this machine.
    #[error("no Postgres was found; install it (Debian: apt-get install postgresql) or pass --database-url")]
    NotInstalled,
    /// The cluster was made by a version that is no longer there.
    #[error("{} was made by Postgres {version}, which is not installed", .cluster.display())]
    OtherVersion {
        /// Directory of the cluster.
        cluster: PathBuf,
        /// Major version that it needs.
        version: String,
    },
    /// Root needs somebody to run Postgres as.
    #[error("Postgres refuses to run as root and there is no user postgres; run qponder as another user")]
    NoAccount,
    /// Nothing to connect to.
    #[error("the server of {} has no database running; is it still starting?", .data_dir.display())]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// A program failed.
    #[error("{program} failed: {reason}")]
    Failed {
        /// `initdb` or `postgres`.
        program: &'static str,
        /// Its last words.
        reason: String,
    },
    /// A directory or file could not be used.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_owned();
    |source| ClusterError::Io { path, source }
}

/// A running cluster. Dropping it stops it.
pub struct Cluster {
    child: Child,
    sockets: PathBuf,
}

/// How long Postgres may take to recover after a crash before the start counts as failed.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take to stop before it is stopped the hard way.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the process is looked at meanwhile.
const POLL: Duration = Duration::from_millis(20);

impl Cluster {
    /// Starts the cluster of a data directory, making it first where there is none.
    ///
    /// Call this on the main thread: the kernel stops Postgres when the thread that started it
    /// ends. Nobody else may use the data directory (the caller holds its lock).
    ///
    /// # Errors
    /// When Postgres is missing, refuses, or does not become ready.
    pub fn start(data_dir: &Path) -> Result<Self, ClusterError> {
        let account = Account::choose().ok_or(ClusterError::NoAccount)?;
        let home = home(data_dir, account)?;
        let cluster = home.join("cluster");
        let version = fs::read_to_string(cluster.join("PG_VERSION")).ok();
        let version = version.as_deref().map(str::trim);
        let binaries = match (binaries::find(version), version) {
            (Some(binaries), _) => binaries,
            (None, None) => return Err(ClusterError::NotInstalled),
            (None, Some(version)) => {
                return Err(ClusterError::OtherVersion { cluster, version: version.to_owned() });
            }
        };
        if version.is_none() {
            tracing::info!(cluster = %cluster.display(), "making the database cluster");
            init(&binaries, account, &home, &cluster)?;
        }
        stop_orphan(&cluster)?;
        let sockets = socket_directory(&home);
        account.make_private(&sockets).map_err(io_error(&sockets))?;
        let log = home.join("postgres.log");
        let child = spawn(&binaries, account, &cluster, &sockets, &log)?;
        let mut started = Self { child, sockets };
        started.wait_until_ready(&cluster, &log)?;
        Ok(started)
    }

    /// How to connect.
    pub fn options(&self) -> PgConnectOptions {
        options_at(&self.sockets)
    }

    /// The directory of its socket.
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Stops the cluster: open transactions are rolled back, everything committed is on the disk.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::INT);
        if !wait_for(STOP_TIMEOUT, || matches!(self.child.try_wait(), Ok(Some(_)))) {
            tracing::warn!("Postgres did not stop in time; it will recover at the next start");
            let _ = kill_process(pid, Signal::QUIT);
            let _ = self.child.wait();
        }
    }

    fn wait_until_ready(&mut self, cluster: &Path, log: &Path) -> Result<(), ClusterError> {
        let pid = self.child.id();
        let mut exited = false;
        let answered = wait_for(START_TIMEOUT, || {
            exited = matches!(self.child.try_wait(), Ok(Some(_)));
            exited || PidFile::read(cluster).is_some_and(|file| file.pid == pid && file.ready)
        });
        if answered && !exited {
            return Ok(());
        }
        Err(ClusterError::Failed { program: "postgres", reason: last_words(log) })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How to connect to the cluster of a data directory that a running server holds.
///
/// # Errors
/// When it is not running.
pub fn options_of_running(data_dir: &Path) -> Result<PgConnectOptions, ClusterError> {
    let sockets = sockets_of_running(data_dir);
    let sockets = sockets.ok_or_else(|| ClusterError::NotRunning { data_dir: data_dir.to_owned() })?;
    Ok(options_at(&sockets))
}

/// The directory of the socket of a data directory's cluster; `None` when it is not running.
pub fn sockets_of_running(data_dir: &Path) -> Option<PathBuf> {
    homes(data_dir).iter().find_map(|home| {
        let file = PidFile::read(&home.join("cluster"))?;
        let pid = i32::try_from(file.pid).ok().and_then(Pid::from_raw)?;
        test_kill_process(pid).ok()?;
        file.sockets
    })
}

/// Where the cluster of a data directory may be.
fn homes(data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join("postgres"), outside_home(data_dir)]
}

/// How to connect to a cluster whose socket is in that directory.
pub fn options_at(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().socket(sockets).port(5432).username("qponder")
}

/// Where the cluster and its log live: `postgres` in the data directory, or, where root's data
/// directory is closed to the account of Postgres, a folder of that account's own.
fn home(data_dir: &Path, account: Account) -> Result<PathBuf, ClusterError> {
    let inside = data_dir.join("postgres");
    let outside = outside_home(data_dir);
    if account.can_enter(data_dir) && !outside.exists() {
        account.make_private(&inside).map_err(io_error(&inside))?;
        return Ok(inside);
    }
    fs::create_dir_all("/var/lib/qponder").map_err(io_error(Path::new("/var/lib/qponder")))?;
    account.make_private(&outside).map_err(io_error(&outside))?;
    tracing::info!(
        folder = %outside.display(),
        "the database is kept outside the data directory, which user postgres cannot enter"
    );
    Ok(outside)
}

fn outside_home(data_dir: &Path) -> PathBuf {
    Path::new("/var/lib/qponder").join(short_name(data_dir))
}

/// A name that is different for every directory and the same for one.
fn short_name(directory: &Path) -> String {
    let mut hash = crate::store::objects::sha256(directory.as_os_str().as_encoded_bytes());
    hash.truncate(12);
    hash
}

/// The path of a Unix socket has at most 107 bytes, so a deep home has its socket elsewhere. That
/// folder's name is not guessable ahead: it ends with this process's id and the time.
fn socket_directory(home: &Path) -> PathBuf {
    let inside = home.join("socket");
    if inside.as_os_str().len() + "/.s.PGSQL.5432.lock".len() <= 100 {
        return inside;
    }
    std::env::temp_dir().join(format!("qponder-{}", uuid::Uuid::now_v7().simple()))
}

/// Makes the cluster aside and renames it, so that a half-made one is never taken for a whole one.
fn init(binaries: &Binaries, account: Account, home: &Path, cluster: &Path) -> Result<(), ClusterError> {
    let unfinished = home.join("cluster.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(io_error(&unfinished))?;
    }
    let output = account
        .command(&binaries.initdb)
        .arg("--pgdata")
        .arg(&unfinished)
        // Trust is confined by the socket's directory, which only the account itself can enter.
        .args([
            "--username=qponder",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
        ])
        .output()
        .map_err(io_error(&binaries.initdb))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(ClusterError::Failed { program: "initdb", reason: last_line(&words) });
    }
    fs::rename(&unfinished, cluster).map_err(io_error(cluster))
}

fn spawn(
    binaries: &Binaries,
    account: Account,
    cluster: &Path,
    sockets: &Path,
    log: &Path,
) -> Result<Child, ClusterError> {
    // Each start has its own log, so that the reason of a failed start is at its end.
    let file = File::create(log).map_err(io_error(log))?;
    let copy = file.try_clone().map_err(io_error(log))?;
    let mut command = account.command(&binaries.postgres);
    command.arg("-D").arg(cluster).arg("-k").arg(sockets).args([
        "-p",
        "5432",
        "-c",
        "listen_addresses=",
        "-c",
        "unix_socket_permissions=0700",
        "-c",
        "max_connections=40",
        "-c",
        "logging_collector=off",
    ]);
    command.stdout(Stdio::from(copy)).stderr(Stdio::from(file));
    // SAFETY: between fork and exec only one system call is made, nothing is allocated or locked.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::INT))?));
    }
    command.spawn().map_err(io_error(&binaries.postgres))
}

/// Stops a Postgres that an earlier server left on this cluster, and removes a lock file whose
/// process is gone: after a reboot or in a new container its number may be somebody else's.
fn stop_orphan(cluster: &Path) -> Result<(), ClusterError> {
    let Some(file) = PidFile::read(cluster) else {
        return Ok(());
    };
    let serves_this = |pid: u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == cluster);
    let pid = i32::try_from(file.pid).ok().and_then(Pid::from_raw);
    if let (Some(pid), true) = (pid, serves_this(file.pid)) {
        tracing::info!(pid = file.pid, "stopping the database of an earlier server");
        let gone = || test_kill_process(pid).is_err();
        let _ = kill_process(pid, Signal::INT);
        if !wait_for(STOP_TIMEOUT, gone) {
            let _ = kill_process(pid, Signal::QUIT);
            wait_for(STOP_TIMEOUT, gone);
        }
    }
    let path = cluster.join("postmaster.pid");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
        _ => Ok(()),
    }
}

/// What Postgres says of itself in `postmaster.pid`.
struct PidFile {
    pid: u32,
    /// Directory of its socket.
    sockets: Option<PathBuf>,
    ready: bool,
}

impl PidFile {
    fn read(cluster: &Path) -> Option<Self> {
        let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        // The layout of this file is fixed by Postgres (miscadmin.h, LOCK_FILE_LINE_*).
        let pid = text.lines().next()?.trim().parse().ok()?;
        let sockets = text.lines().nth(4).map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from);
        let ready = text.lines().nth(7).is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, sockets, ready })
    }
}

fn wait_for(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

fn last_words(log: &Path) -> String {
    last_line(&fs::read_to_string(log).unwrap_or_default())
}

/// The line that says why: the last one that Postgres marks as an error, or else the last one.
fn last_line(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines.clone().find(|line| line.contains("FATAL") || line.contains("error:"));
    marked.or_else(|| lines.next()).unwrap_or("it said nothing").to_owned()
}
