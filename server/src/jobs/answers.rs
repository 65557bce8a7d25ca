//! Answers that a training sampled, read from its `completions.jsonl` as it grows.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use qponder_shared::job::Completion;
use serde_json::{Map, Value};

use crate::store::leases::Sampled;

/// Keys of a line that are no terms of the reward.
const OTHERS: [&str; 6] = ["step", "image", "label", "text", "reward", "advantage"];

/// Reads a file that another process adds lines to.
pub struct Answers {
    path: PathBuf,
    /// Bytes of whole lines that were read.
    read: u64,
    /// Steps up to this one are known.
    known: u64,
    /// The step of the last line, and how many lines it has so far.
    last: (u64, i32),
}

impl Answers {
    /// The answers of a training that writes into `out`.
    pub fn new(out: &Path) -> Self {
        Self { path: out.join("completions.jsonl"), read: 0, known: 0, last: (0, 0) }
    }

    /// Reads from the beginning, but for steps up to `known`: the training has cut the file back to there.
    pub fn begin(&mut self, known: u64) {
        (self.read, self.known, self.last) = (0, known, (0, 0));
    }

    /// What came since; nothing where there is no such file.
    pub fn read(&mut self) -> io::Result<Vec<Sampled>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A line that is being written has no end yet.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole as u64;
        let lines = text[..whole].split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| self.sampled(serde_json::from_slice(line).ok()?)).collect())
    }

    fn sampled(&mut self, line: Map<String, Value>) -> Option<Sampled> {
        let step = line.get("step")?.as_u64()?;
        let place = if self.last.0 == step { self.last.1 + 1 } else { 0 };
        self.last = (step, place);
        if step <= self.known {
            return None;
        }
        // The worker has named the file by its hash.
        let image = Path::new(line.get("image")?.as_str()?).file_stem()?.to_str()?.to_owned();
        let number = |name: &str| line.get(name).and_then(Value::as_f64);
        let terms = line.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
        let answer = Completion {
            image: None,
            label: number("label"),
            text: line.get("text")?.as_str()?.to_owned(),
            reward: number("reward")?,
            advantage: number("advantage")?,
            rewards: terms.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect(),
        };
        Some(Sampled { step, place, sha256: image, answer })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(step: u64, text: &str) -> String {
        format!(
            "{{\"step\":{step},\"image\":\"d/images/abc.png\",\"label\":4.5,\"text\":\"{text}\",\"reward\":1.5,\
             \"advantage\":-1.0,\"format\":1.0,\"score\":0.5}}\n"
        )
    }

    #[test]
    fn lines_are_read_once_and_only_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut answers = Answers::new(dir.path());
        assert!(answers.read().expect("nothing").is_empty());
        let path = dir.path().join("completions.jsonl");
        let mut file = File::create(&path).expect("a file");
        let (first, second) = (line(1, "a"), line(1, "b"));
        write!(file, "{first}{}", &second[..20]).expect("written");
        let read = answers.read().expect("lines");
        assert_eq!((read.len(), read[0].answer.text.as_str(), read[0].sha256.as_str()), (1, "a", "abc"));
        assert_eq!(read[0].answer.rewards.keys().collect::<Vec<_>>(), ["format", "score"]);
        write!(file, "{}{}", &second[20..], line(2, "c")).expect("written");
        let read = answers.read().expect("lines");
        let places: Vec<_> = read.iter().map(|one| (one.step, one.place, one.answer.text.clone())).collect();
        assert_eq!(places, [(1, 1, "b".to_owned()), (2, 0, "c".to_owned())]);
        assert!(answers.read().expect("nothing").is_empty());
        // The training goes on after step 1: what it makes anew is read anew.
        std::fs::write(&path, format!("{first}{second}{}", line(2, "d"))).expect("written");
        answers.begin(1);
        let read = answers.read().expect("lines");
        assert_eq!((read.len(), read[0].answer.text.as_str()), (1, "d"));
    }
}
