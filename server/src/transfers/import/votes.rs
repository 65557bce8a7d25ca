//! Votes of people without accounts, from a table.

use std::collections::BTreeSet;

use qponder_shared::StudyId;
use qponder_shared::study::StudyTask;
use qponder_shared::transfer::parse_votes;

use super::Import;
use super::find::find;
use crate::store::imported_votes::ImportedVote;
use crate::store::studies::Viewer;
use crate::transfers::work::{Halt, Work};

/// Imports a table of votes into a study.
///
/// # Errors
/// Why nothing was imported.
pub fn run(work: &mut Work, import: &mut Import<'_>, study: StudyId) -> Result<(), Halt> {
    let found = work.wait(work.shelf.store.study(study, Viewer::SERVER))?;
    let study = found.ok_or_else(|| Halt::Failed(format!("there is no study {study} any more")))?;
    let text = import.text(&["csv", "tsv", "txt"])?;
    let lines = parse_votes(&text, study.task).map_err(|error| {
        let task = study.task.title();
        Halt::Failed(format!("{error} (a study of {task} needs the columns {})", needed(study.task)))
    })?;
    let mut votes = Vec::with_capacity(lines.len());
    let mut names = BTreeSet::new();
    for line in lines {
        match line {
            Ok(line) => {
                names.insert(line.image.clone());
                names.extend(line.other_image.clone());
                votes.push(line);
            }
            Err(error) => import.report.refuse(error.place.to_string(), error.problem),
        }
    }
    let found = find(work, import, &names)?;
    let mut imported = Vec::with_capacity(votes.len());
    for line in votes {
        let image = |name: &String| match found.get(name) {
            Some(Ok(image)) => Ok(image.id),
            Some(Err(problem)) => Err(format!("{name}: {problem}")),
            None => Err(format!("{name}: it was not looked up")),
        };
        let images = image(&line.image).and_then(|first| {
            let other = line.other_image.as_ref().map(image).transpose()?;
            Ok((first, other))
        });
        match images {
            Ok((first, Some(other))) if first == other => {
                import.report.refuse(line.place.to_string(), "both images of the pair are the same");
            }
            Ok(images) => imported.push(ImportedVote { line, images }),
            Err(problem) => import.report.refuse(line.place.to_string(), problem),
        }
    }
    import.check()?;
    if imported.is_empty() {
        return Err(Halt::Failed("no line is left to import".to_owned()));
    }
    let sha256 = work.transfer.sha256.clone().unwrap_or_default();
    let (store, by, id, total) =
        (work.shelf.store.clone(), work.by.clone(), work.transfer.id, imported.len() as u64);
    let noted = store.clone();
    let added = work.wait(store.import_votes(study.id, &imported, &sha256, &by, async |done: usize| {
        noted.note_progress(id, done as u64, total).await
    }))?;
    let added = added.ok_or(Halt::Cancelled)?;
    import.report.lines = added;
    import.report.repeated = total - added;
    Ok(())
}

fn needed(task: StudyTask) -> &'static str {
    match task {
        StudyTask::Pairs => "person, image, other_image and preference",
        _ => "person, image and score",
    }
}
