//! The logs of a run, a JSON object a line: opened anew, and cut back to where a resumed run goes on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::TrainError;

/// How long another run may hold a log.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every line of a log says.
#[derive(Deserialize)]
struct Line {
    step: usize,
}

/// Opens a log to add lines to it after `done` steps, and makes its directory.
///
/// A run that ended between two checkpoints makes steps once more; their old lines are removed, so that each step
/// stands once. So is a last line that was being written when the run ended. A run that begins keeps nothing.
pub fn open(path: &Path, done: usize) -> Result<File, TrainError> {
    let failed = |source| TrainError::Io { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed)?;
    let file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
    claim(&file, path)?;
    let kept = if done == 0 { 0 } else { kept(&file, done).map_err(failed)? };
    file.set_len(kept).map_err(failed)?;
    Ok(file)
}

/// One run at a time. A run that was told to end may take a moment.
fn claim(file: &File, path: &Path) -> Result<(), TrainError> {
    let begun = Instant::now();
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if begun.elapsed() > PATIENCE {
            return Err(TrainError::InUse { path: path.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A metric as it was after `done` steps, from the newest line of a log that has it; `None` where none has.
pub fn newest(path: &Path, done: usize, metric: &str) -> Option<f64> {
    let of_line = |line: String| -> Option<f64> {
        let line: Value = serde_json::from_str(&line).ok()?;
        (line["step"].as_u64()? <= done as u64).then(|| line[metric].as_f64()).flatten()
    };
    BufReader::new(File::open(path).ok()?).lines().map_while(Result::ok).filter_map(of_line).last()
}

/// Bytes before the first line of a step beyond `done`, or before a last line that is not whole.
fn kept(file: &File, done: usize) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut kept, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let is_beyond = serde_json::from_slice(&line).is_ok_and(|Line { step }| step > done);
        if line.last() != Some(&b'\n') || is_beyond {
            return Ok(kept);
        }
        kept += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_newest_value_of_a_metric_is_that_of_the_steps_that_are_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("metrics.jsonl");
        assert_eq!(newest(&path, 3, "num_tokens"), None, "no log");
        let lines = "{\"step\":1,\"num_tokens\":5.0}\n{\"step\":2,\"num_tokens\":9.0}\n{\"step\":2,\"srcc\":1}\n\
                     {\"event\":\"damaged\"}\n{\"step\":3,\"num_tokens\":14.0}\n{\"step\":4,\"num_to";
        fs::write(&path, lines).expect("writes");
        let values = [0, 1, 2, 9].map(|done| newest(&path, done, "num_tokens"));
        assert_eq!(values, [None, Some(5.0), Some(9.0), Some(14.0)]);
    }

    #[test]
    fn lines_of_steps_that_are_made_again_go_wherever_the_last_one_was_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("new/metrics.jsonl");
        let line = |step: usize| format!("{{\"event\":\"step\",\"step\":{step},\"loss\":1.5}}\n");
        let whole: String = [0, 1, 2, 2, 3, 4].map(line).concat();
        let after_two = line(0).len() + line(1).len() + 2 * line(2).len();
        for cut in 0..=whole.len() {
            for done in [0, 2, 3, 9] {
                fs::create_dir_all(dir.path().join("new")).expect("a directory");
                fs::write(&path, &whole[..cut]).expect("writes");
                let mut log = open(&path, done).expect("opens");
                writeln!(log, "new").expect("writes");
                let text = fs::read_to_string(&path).expect("text");
                let kept = text.strip_suffix("new\n").expect("the new line is whole and last");
                assert!(whole.starts_with(kept) && (kept.is_empty() || kept.ends_with('\n')), "{text}");
                let whole_lines = whole[..cut].rfind('\n').map_or(0, |at| at + 1);
                let expected = match done {
                    0 => 0,
                    2 => whole_lines.min(after_two),
                    3 => whole_lines.min(after_two + line(3).len()),
                    _ => whole_lines,
                };
                assert_eq!(kept.len(), expected, "{cut}, {done}");
            }
        }
        // A line that an earlier version tore and went on after is no reason to drop what follows.
        fs::write(&path, format!("{}{{\"event\":\"po{}", line(1), line(2))).expect("writes");
        let before = fs::metadata(&path).expect("a file").len();
        drop(open(&path, 2).expect("opens"));
        assert_eq!(fs::metadata(&path).expect("a file").len(), before);
    }
}
