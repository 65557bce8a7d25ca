//! Conversations of other trainers: their answers become answers of a model.

use std::collections::BTreeSet;

use qponder_shared::dataset::{Said, read_conversations};
use qponder_shared::grammar;

use super::Import;
use super::find::find;
use crate::store::answers::Elsewhere;
use crate::transfers::work::{Halt, Work};

/// Answers that are added in one transaction.
const BATCH: usize = 500;
/// Longest answer that is kept, in bytes.
const MOST: usize = 64 << 10;

/// Imports conversations.
///
/// # Errors
/// Why nothing was imported.
pub fn run(work: &mut Work, import: &mut Import<'_>, model: &str) -> Result<(), Halt> {
    let model = model.trim();
    let text = import.text(&["jsonl", "json"])?;
    let said = read_conversations(&text).map_err(|error| Halt::Failed(error.to_string()))?;
    let names: BTreeSet<String> = said.iter().map(|one| one.image.clone()).collect();
    let found = find(work, import, &names)?;
    let mut answers = Vec::with_capacity(said.len());
    for Said { place, image, answer } in said {
        let place = format!("{place}, {image}");
        match found.get(&image) {
            Some(Ok(_)) if answer.len() > MOST => {
                import.report.refuse(place, format!("the answer has more than {MOST} bytes"));
            }
            Some(Ok(image)) => {
                // One without a score is kept and counts as a parse failure, as it would had it been given here.
                let score = grammar::parse(&answer).score;
                answers.push(Elsewhere { image: image.id, text: answer, score });
            }
            Some(Err(problem)) => import.report.refuse(place, problem.clone()),
            None => import.report.refuse(place, "it was not looked up"),
        }
    }
    import.check()?;
    for (batch, some) in answers.chunks(BATCH).enumerate() {
        work.progress(batch * BATCH, answers.len())?;
        let added = work.wait(work.shelf.store.add_answers(model, some, &work.by))?;
        import.report.lines += added;
        import.report.repeated += some.len() as u64 - added;
    }
    work.progress(answers.len(), answers.len())
}
