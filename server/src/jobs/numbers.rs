//! The numbers of a training: those that it tells, and those that it told nobody who could write them down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use qponder_shared::job::{MetricPart, Metrics};
use serde_json::{Map, Value};

/// The numbers of an event; `None` where it has none.
pub fn of(event: &Map<String, Value>) -> Option<Metrics> {
    let part = match event.get("event")?.as_str()? {
        "step" | "policy" => MetricPart::Train,
        "validated" => MetricPart::Validation,
        _ => return None,
    };
    let step = event.get("step")?.as_u64()?;
    let numbers = event.iter().filter(|(name, _)| *name != "step");
    let numbers = numbers.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    Some(Metrics { part, step, numbers })
}

/// The numbers of steps `first` to `last`, from the file that a training keeps beside its checkpoints. A worker that
/// was cut off from the database could not pass them on.
pub fn kept(out: &Path, first: u64, last: u64) -> io::Result<Vec<Metrics>> {
    let file = match File::open(out.join("metrics.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => BufReader::new(file?),
    };
    let mut kept = BTreeMap::new();
    for line in file.split(b'\n') {
        // A line that was cut off belongs to no step that a checkpoint holds.
        let Ok(event) = serde_json::from_slice(&line?) else { continue };
        if let Some(numbers) = of(&event).filter(|numbers| (first..=last).contains(&numbers.step)) {
            // One step may be validated twice: at its checkpoint, and by the attempt after it.
            kept.insert((numbers.part, numbers.step), numbers);
        }
    }
    Ok(kept.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_steps_are_read_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(kept(dir.path(), 0, 9).expect("nothing").is_empty());
        let lines = "{\"event\":\"started\",\"step\":0,\"steps\":4}\n{\"event\":\"step\",\"step\":1,\"loss\":3.0}\n\
                     {\"event\":\"step\",\"step\":2,\"loss\":2.0}\n{\"event\":\"validated\",\"step\":2,\"srcc\":0.5,\
                     \"distortion_accuracy\":null}\n{\"event\":\"saved\",\"step\":2}\n\
                     {\"event\":\"validated\",\"step\":2,\"srcc\":0.6}\n{\"event\":\"policy\",\"step\":3,\"loss\":1.0}\n\
                     {\"event\":\"step\",\"st";
        std::fs::write(dir.path().join("metrics.jsonl"), lines).expect("written");
        let found = kept(dir.path(), 2, 2).expect("numbers");
        let found: Vec<_> = found.iter().map(|row| (row.part, row.step, row.numbers.clone())).collect();
        let numbers = |name: &str, value: f64| [(name.to_owned(), value)].into_iter().collect();
        assert_eq!(
            found,
            [(MetricPart::Train, 2, numbers("loss", 2.0)), (MetricPart::Validation, 2, numbers("srcc", 0.6)),]
        );
    }
}
