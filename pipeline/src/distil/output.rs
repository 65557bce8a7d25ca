//! The files that a distillation leaves: `manifest.jsonl` of accepted answers, `rejected.jsonl` with the
//! reasons against the others, and `report.json`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use qponder_shared::manifest::Row;
use qponder_shared::recipe::{DistilRecipe, TeacherPrompt};
use qponder_shared::{Attribute, grammar};
use serde::Serialize;

use super::DistilError;
use super::filter::{Candidate, Reason, filter};
use super::plan::{Plan, Wanted, template};
use super::report::Report;

/// A line of `rejected.jsonl`.
#[derive(Serialize)]
struct Rejected<'a> {
    id: String,
    reasons: &'a [Reason],
    text: &'a str,
}

/// Filters the answers and writes the manifest and what was rejected. Returns the report, still without its
/// calls.
pub(super) fn write(
    recipe: &DistilRecipe,
    plan: &Plan,
    wanted: &[Wanted],
    answers: &[Option<String>],
) -> Result<Report, DistilError> {
    let there: Vec<(Wanted, &String)> =
        wanted.iter().zip(answers).filter_map(|(&wanted, answer)| Some((wanted, answer.as_ref()?))).collect();
    let conditioned = recipe.ask.prompt == TeacherPrompt::Conditioned;
    let candidates: Vec<Candidate> = there
        .iter()
        .map(|(wanted, text)| {
            let label = plan.items[wanted.item].row.label.value();
            Candidate { text: (*text).clone(), label, conditioned }
        })
        .collect();
    let judged = filter(&candidates, &recipe.filters);

    let out = Path::new(&recipe.out);
    let mut report = Report {
        model: recipe.endpoint.model.clone(),
        prompt_version: template(recipe.ask.prompt).version,
        images: plan.items.len(),
        wanted: wanted.len(),
        answered: there.len(),
        refused: Reason::NAMES.map(|name| (name, 0)).into(),
        refused_by_it_alone: Reason::NAMES.map(|name| (name, 0)).into(),
        ..Report::default()
    };
    let (mut accepted, mut rejected) = (Vec::new(), Vec::new());
    let mut images = BTreeSet::new();
    for ((wanted, text), reasons) in there.iter().zip(&judged) {
        let row = &plan.items[wanted.item].row;
        if !reasons.is_empty() {
            let names: BTreeSet<&str> = reasons.iter().map(Reason::name).collect();
            for (name, count) in &mut report.refused {
                *count += usize::from(names.contains(name));
            }
            for (name, count) in &mut report.refused_by_it_alone {
                *count += usize::from(names.len() == 1 && names.contains(name));
            }
            rejected.push(json(&Rejected { id: answer_id(row, wanted.answer), reasons, text }, out)?);
            continue;
        }
        // Everything that passed has a score: the grammar's filter is always on.
        let Some(answer) = canonical(text) else { continue };
        images.insert(wanted.item);
        let image = relative(out, &plan.items[wanted.item].path)?;
        let id = answer_id(row, wanted.answer);
        accepted.push(json(&Row { id, image, answer: Some(answer), ..row.clone() }, out)?);
    }
    report.accepted = accepted.len();
    report.images_accepted = images.len();
    write_whole(&out.join("manifest.jsonl"), &accepted.concat())?;
    write_whole(&out.join("rejected.jsonl"), &rejected.concat())?;
    Ok(report)
}

/// Writes the report.
pub(super) fn write_report(out: &Path, report: &Report) -> Result<(), DistilError> {
    let path = out.join("report.json");
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| DistilError::Io { path: path.clone(), source: error.into() })?;
    write_whole(&path, &format!("{text}\n"))
}

/// The row's own id for its first answer, so that it stays the same image everywhere.
fn answer_id(row: &Row, answer: u32) -> String {
    if answer == 0 { row.id.clone() } else { format!("{}#{answer}", row.id) }
}

/// The answer as the models are trained on it: attributes in order, the teacher's words, levels and score.
fn canonical(text: &str) -> Option<String> {
    let response = grammar::parse(text);
    let mut attributes = response.attributes;
    attributes.sort_by_key(|seen| Attribute::ALL.iter().position(|one| *one == seen.attribute));
    Some(grammar::write(&attributes, &response.summary, response.score?))
}

fn json(value: &impl Serialize, out: &Path) -> Result<String, DistilError> {
    let line = serde_json::to_string(value);
    line.map(|line| line + "\n").map_err(|e| DistilError::Io { path: out.to_owned(), source: e.into() })
}

/// The path of an image as seen from a directory, so that both can move together.
fn relative(out: &Path, image: &Path) -> Result<String, DistilError> {
    let real =
        |path: &Path| path.canonicalize().map_err(|source| DistilError::Io { path: path.to_owned(), source });
    let (out, image) = (real(out)?, real(image)?);
    let shared = out.components().zip(image.components()).take_while(|(a, b)| a == b).count();
    let up = out.components().skip(shared).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(image.components().skip(shared)).collect();
    Ok(path.to_string_lossy().into_owned())
}

/// Writes a file so that it is the old one or the new one, whole.
fn write_whole(path: &Path, text: &str) -> Result<(), DistilError> {
    let io = |source| DistilError::Io { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let mut file = File::create(&partial).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_from_the_manifest_beside_it_or_far_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let (out, images) = (dir.path().join("a/out"), dir.path().join("b"));
        std::fs::create_dir_all(&out).and_then(|()| std::fs::create_dir_all(&images)).expect("directories");
        for (image, expected) in [(images.join("x.png"), "../../b/x.png"), (out.join("y.png"), "y.png")] {
            std::fs::write(&image, b"x").expect("writes");
            assert_eq!(relative(&out, &image).expect("exists"), expected);
            assert!(out.join(expected).is_file());
        }
    }

    #[test]
    fn an_accepted_answer_is_written_in_the_canonical_form() {
        let text = "<think>\n noise: fine grain (good)\nsharpness: crisp (excellent)\nIt is fine.\n</think>\n\n<answer> 4.5 </answer>";
        let expected = "<think>\nsharpness: crisp (excellent)\nnoise: fine grain (good)\nIt is fine.\n</think>\n<answer>4.50</answer>";
        assert_eq!(canonical(text).as_deref(), Some(expected));
    }
}
