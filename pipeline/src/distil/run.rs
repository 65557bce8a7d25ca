//! The run: ask for what is missing, filter all answers, write what came of it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use qponder_shared::recipe::DistilRecipe;

use super::plan::{Plan, Wanted, request};
use super::report::Report;
use super::{DistilError, Progress, journal, output};
use crate::calls::{Answers, Asker, Unaskable};

/// Asks for what is missing, filters all answers, and writes the manifest and the report.
///
/// When `stop` is set, running calls end, what is there is saved, and the error says how to go on.
///
/// # Errors
/// What is wrong with the recipe's files or the endpoint, or that it was stopped. Whatever was answered is
/// kept, and the manifest of it is written.
pub fn distil(
    recipe: &DistilRecipe,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, DistilError> {
    let plan = Plan::read(recipe)?;
    let asker = Asker::new(&recipe.endpoint, &recipe.limits, recipe.ask.seed)?;
    let out = Path::new(&recipe.out);
    std::fs::create_dir_all(out).map_err(|source| DistilError::Io { path: out.to_owned(), source })?;
    let (mut asker, torn) = asker.with_journal(&journal(out))?;
    let wanted = plan.wanted(recipe);
    let (images, repeated) = (plan.items.len(), plan.repeated);
    progress(&Progress::Started { images, wanted: wanted.len(), repeated, torn });

    let ask = |index: usize| {
        let Wanted { item, answer } = wanted[index];
        let item = &plan.items[item];
        request(recipe, item, answer).map_err(|reason| Unaskable { id: item.row.id.clone(), reason })
    };
    let mut tell = |event: &_| progress(&Progress::Call(Clone::clone(event)));
    let Answers { texts, unaskable, limit, ended, .. } = asker.ask(wanted.len(), &ask, stop, &mut tell);
    let mut report = output::write(recipe, &plan, &wanted, &texts)?;
    report.calls = asker.calls().clone();
    report.limit = limit;
    report.unreadable_images = unaskable;
    output::write_report(out, &report)?;
    progress(&Progress::Filtered { answered: report.answered, accepted: report.accepted });
    ended.map_or(Ok(report), |error| Err(error.into()))
}
