//! Starts and stops the real server.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;

/// A directory that is gone after the test. The account that runs Postgres must be able to enter
/// it, which temporary directories do not allow of themselves.
#[must_use]
pub fn data_dir() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("qponder-test-").tempdir().expect("a temporary directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))
        .expect("its permissions");
    directory
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The `qponder` binary of this build, built once where it is out of date. `QPONDER_BIN` names another.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("QPONDER_BIN") {
            return PathBuf::from(named);
        }
        let built = Command::new(env!("CARGO"))
            // The selection of `cargo xtask`: another one gives dependencies other features and builds them anew.
            .args(["build", "--quiet", "--workspace", "--exclude", "qponder-frontend", "--exclude", "xtask"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the server does not build");
        // target/debug/deps/<test> → target/debug/qponder
        let test = std::env::current_exe().expect("the path of this test");
        test.ancestors().nth(2).expect("a target directory").join("qponder")
    })
}

/// A model for tests that do not ask how good it is: nano where it is there, or else a tiny random
/// one of the parity fixtures. `QPONDER_TEST_MODEL` names another.
#[must_use]
pub fn model() -> PathBuf {
    if let Some(named) = std::env::var_os("QPONDER_TEST_MODEL") {
        return PathBuf::from(named);
    }
    let nano = root().join("models/nano");
    if nano.join("config.json").is_file() {
        nano
    } else {
        root().join("tests/fixtures/transformers/flat-f32-untied-sharded")
    }
}

/// A running server.
pub struct Server {
    child: Child,
    /// Sends requests to it.
    pub client: Client,
}

impl Server {
    /// Starts a server on a free port and waits until it listens.
    #[must_use]
    pub fn start(data_dir: &Path) -> Self {
        Self::start_with(data_dir, &[])
    }

    /// The same with more arguments.
    #[must_use]
    pub fn start_with(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::listen(command(data_dir, arguments)).0
    }

    /// The same with more variables in its environment.
    #[must_use]
    pub fn start_in(data_dir: &Path, arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let mut command = command(data_dir, arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::listen(command).0
    }

    /// Starts a server with accounts that has none yet. Returns the link for the first administrator.
    #[must_use]
    pub fn start_new_with_accounts(data_dir: &Path, arguments: &[&str]) -> (Self, String) {
        let (server, stdout) = Self::listen(with_accounts(data_dir, arguments));
        let mut lines = stdout.lines().map_while(Result::ok);
        let link = lines.find(|line| line.starts_with("http")).expect("a link");
        (server, link)
    }

    /// Starts a server with accounts that has some.
    #[must_use]
    pub fn start_with_accounts(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::listen(with_accounts(data_dir, arguments)).0
    }

    fn listen(mut command: Command) -> (Self, BufReader<ChildStdout>) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        stdout.read_line(&mut line).expect("its first line");
        let Some(url) = line.trim().strip_prefix("Q-Ponder is at ") else {
            let _ = child.kill();
            panic!("the server did not start: {:?}, {line:?}", child.wait());
        };
        (Self { child, client: Client::new(url) }, stdout)
    }

    /// The number of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it as an operator would; returns how it ended.
    #[must_use]
    pub fn stop(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server runs");
        self.child.wait().expect("it ends")
    }

    /// Stops it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// Runs a server that is expected to end by itself.
#[must_use]
pub fn run_to_end(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut child = command(data_dir, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stderr.take().expect("its errors").read_to_end(&mut stderr).expect("they can be read");
    child.stdout.take().expect("its output").read_to_end(&mut stdout).expect("it can be read");
    Output { status: child.wait().expect("it ends"), stdout, stderr }
}

fn with_accounts(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = command(data_dir, arguments);
    command.env_remove("QPONDER_LOCAL");
    command
}

/// `qponder serve` in local mode, with arguments that later ones override.
fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("serve").env("RUST_LOG", "warn").stdin(Stdio::null());
    command
        .env("QPONDER_LISTEN", "127.0.0.1:0")
        .env("QPONDER_DATA_DIR", data_dir)
        .env("QPONDER_LOCAL", "true")
        .env("QPONDER_MODEL", model());
    command.args(arguments);
    command
}
