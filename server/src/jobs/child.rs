//! The process that does a job.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use qponder_shared::job::JobKind;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tokio::sync::mpsc;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// The unit of processor times in `/proc` on Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What a child says.
#[derive(Debug)]
pub enum Word {
    /// A line of its standard output: an event, or words.
    Line(String),
    /// A line of its errors.
    Error(String),
    /// How it ended. Nothing comes after it.
    Ended(io::Result<ExitStatus>),
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Bytes that are resident.
    pub memory: u64,
    /// Seconds of processor time since it began, of all threads together.
    pub processor_seconds: f64,
}

/// A handle on a running child. The child is killed when its worker ends, however that ends.
pub struct Child {
    process: Arc<Mutex<Option<Pid>>>,
    words: mpsc::UnboundedReceiver<Word>,
}

impl Child {
    /// Starts what a recipe says, in the recipe's folder.
    pub fn start(kind: JobKind, recipe: &Path, device: &str) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(kind.command());
        command.arg("--recipe").arg(recipe).arg("--events");
        command.current_dir(recipe.parent().unwrap_or(Path::new(".")));
        if kind.computes() {
            command.args(["--device", device]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal reaches the worker alone, which then stops its child in good order.
        command.process_group(0);
        // SAFETY: between fork and exec only one system call is made, nothing is allocated or locked.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let (sender, words) = mpsc::unbounded_channel();
        let process = Arc::new(Mutex::new(None));
        let (shared, begun) = (Arc::clone(&process), std::sync::mpsc::sync_channel(1));
        // The kernel kills the child when the *thread* that started it ends, so that thread waits for it.
        std::thread::Builder::new().name("job".into()).spawn(move || {
            let started = command.spawn();
            let child = match started {
                Ok(child) => child,
                Err(error) => return drop(begun.0.send(Err(error))),
            };
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pid::from_child(&child));
            let _ = begun.0.send(Ok(()));
            let ended = watch(child, &sender);
            // From here on the number may be another process's.
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let _ = sender.send(Word::Ended(ended));
        })?;
        begun.1.recv().map_err(|_| io::Error::other("the thread ended"))??;
        Ok(Self { process, words })
    }

    /// The next word.
    pub async fn next(&mut self) -> Word {
        match self.words.recv().await {
            Some(word) => word,
            None => Word::Ended(Err(io::Error::other("nobody waits for the child"))),
        }
    }

    /// What it takes of the machine now; `None` where the system does not say, or it has ended.
    pub fn usage(&self) -> Option<Usage> {
        let pid = (*self.process.lock().unwrap_or_else(PoisonError::into_inner))?.as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything: the 12th and 13th fields are ticks in user and system mode.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let seconds = ticks as f64 / TICKS_PER_SECOND;
        Some(Usage { memory: kilobytes * 1024, processor_seconds: seconds })
    }

    /// Asks it to write a checkpoint and end.
    pub fn stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Held while the signal is sent: the process is not waited for meanwhile, so its number is its own.
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *process {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes on what a child says until it ends.
fn watch(mut child: Process, sender: &mpsc::UnboundedSender<Word>) -> io::Result<ExitStatus> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        if let Some(stderr) = stderr {
            scope.spawn(|| lines(stderr, |line| drop(sender.send(Word::Error(line)))));
        }
        if let Some(stdout) = stdout {
            lines(stdout, |line| drop(sender.send(Word::Line(line))));
        }
    });
    child.wait()
}

fn lines(source: impl Read, mut each: impl FnMut(String)) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while matches!(source.by_ref().take(MAX_LINE).read_until(b'\n', &mut line), Ok(length) if length > 0) {
        each(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

/// In words how a process ended that nobody asked to end.
pub fn describe(status: ExitStatus, last_error: Option<&str>) -> String {
    match (status.signal(), last_error) {
        (Some(9), _) => "the process was killed; the machine may have run out of memory".to_owned(),
        (Some(signal), _) => format!("the process was ended by signal {signal}; the log may say why"),
        (None, Some(error)) => error.trim_start_matches("qponder: ").to_owned(),
        (None, None) => format!("the process ended with {status} and said nothing"),
    }
}
