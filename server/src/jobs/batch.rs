//! The answers of a batch, read from its journal as it grows, as the assessments that become of them.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use qponder_pipeline::batch::{ANSWERS, Answered, Entry, Outcome as Came};
use qponder_shared::api::AssessmentStatus;
use qponder_shared::{Score, prompt};

use crate::store::assessments::Outcome;
use crate::store::batches::BatchAnswer;

/// Answers that are written down at once: a transaction with more would take longer than the database may.
const AT_ONCE: usize = 50;

/// Reads a journal that another process adds lines to.
pub struct Batch {
    path: PathBuf,
    /// Bytes of whole lines that were read.
    read: u64,
    /// What the models are called, in the order of the recipe.
    names: Vec<String>,
}

impl Batch {
    /// The answers of a job that writes into `out`, by models of these names.
    pub fn new(out: &Path, names: Vec<String>) -> Self {
        Self { path: out.join(ANSWERS), read: 0, names }
    }

    /// Some of those that came since; none where there are none, or where there is no such file.
    pub fn read(&mut self) -> io::Result<Vec<BatchAnswer>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        let (mut file, mut line, mut answers) = (BufReader::new(file), Vec::new(), Vec::new());
        while answers.len() < AT_ONCE {
            line.clear();
            let length = file.read_until(b'\n', &mut line)?;
            // A line that is being written has no end yet.
            if line.last() != Some(&b'\n') {
                break;
            }
            self.read += length as u64;
            let entry = serde_json::from_slice(&line).ok();
            answers.extend(entry.and_then(|entry| self.answer(entry)));
        }
        Ok(answers)
    }

    fn answer(&self, entry: Entry) -> Option<BatchAnswer> {
        let outcome = match entry.outcome {
            Came::Failed { error } => {
                Outcome::without_answer(AssessmentStatus::Failed, String::new(), Some(error))
            }
            Came::Answered(answer) => done(answer),
        };
        Some(BatchAnswer {
            // The worker has named the file by its hash.
            sha256: Path::new(&entry.image).file_stem()?.to_str()?.to_owned(),
            model: self.names.get(entry.place)?.clone(),
            model_sha256: entry.model_sha256,
            mode: entry.mode,
            sampling: entry.sampling,
            prompt_version: prompt::current(entry.mode).version.to_owned(),
            outcome,
        })
    }
}

fn done(answer: Answered) -> Outcome {
    Outcome {
        score: answer.score.and_then(Score::clamped),
        level_probabilities: answer.level_probabilities,
        parse_ok: Some(answer.score.is_some()),
        finish: Some(if answer.is_cut { "length" } else { "stop" }),
        prompt_version: Some(answer.prompt_version),
        prompt_tokens: Some(answer.prompt_tokens),
        new_tokens: Some(answer.new_tokens),
        ms: Some(answer.ms),
        // Postgres text cannot hold NUL, and a model can write one.
        ..Outcome::without_answer(AssessmentStatus::Done, answer.text.replace('\0', "\u{fffd}"), None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn answers_are_read_once_whole_and_some_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut batch = Batch::new(dir.path(), vec!["a".to_owned(), "b".to_owned()]);
        assert!(batch.read().expect("nothing").is_empty());
        let line = |place: usize, image: usize| {
            format!(
                "{{\"place\":{place},\"model\":\"m\",\"model_sha256\":\"w\",\"mode\":\"quick\",\"sampling\":\
                 {{\"seed\":1}},\"image\":\"data/images/{image}.png\",\"outcome\":\"answered\",\"text\":\"good\",\
                 \"score\":4.1,\"level_probabilities\":null,\"is_cut\":false,\"prompt_version\":\"q-1\",\
                 \"prompt_tokens\":3,\"new_tokens\":1,\"ms\":2}}\n"
            )
        };
        let mut file = File::create(dir.path().join(ANSWERS)).expect("a file");
        for image in 0..AT_ONCE {
            file.write_all(line(0, image).as_bytes()).expect("written");
        }
        let torn = line(1, 0);
        file.write_all(&torn.as_bytes()[..30]).expect("written");
        let first = batch.read().expect("answers");
        assert_eq!((first.len(), first[49].sha256.as_str(), first[0].model.as_str()), (AT_ONCE, "49", "a"));
        assert_eq!(first[0].outcome.score.map(Score::get), Some(4.1));
        assert!(batch.read().expect("half a line").is_empty());
        file.write_all(&torn.as_bytes()[30..]).expect("written");
        let second = batch.read().expect("an answer");
        assert_eq!((second.len(), second[0].model.as_str()), (1, "b"));
        let failed = "{\"place\":0,\"model\":\"m\",\"model_sha256\":\"w\",\"mode\":\"quick\",\"sampling\":{},\
                      \"image\":\"x.png\",\"outcome\":\"failed\",\"error\":\"it is no image\"}\n";
        file.write_all(failed.as_bytes()).expect("written");
        let third = batch.read().expect("a failure");
        assert_eq!(third[0].outcome.error.as_deref(), Some("it is no image"));
        assert_eq!(third[0].outcome.status, AssessmentStatus::Failed);
    }
}
