//! Labels of images: our manifest, or the label file of a published dataset. They become a version of a dataset
//! and labels of the images.

use std::collections::BTreeSet;

use qponder_pipeline::dataset::import::{Origin, Reading, plan};
use qponder_shared::compare::{Label as ImageLabel, LabelKind};
use qponder_shared::dataset::{Evidence, leaks};
use qponder_shared::manifest::{Label, Row};
use qponder_shared::{ImageId, Score};

use super::Import;
use super::find::find;
use crate::store::datasets::NewDataset;
use crate::store::objects::sha256;
use crate::transfers::work::{Halt, Work};

/// A row and where it stands.
struct Line {
    place: String,
    row: Row,
}

/// Imports a manifest.
///
/// # Errors
/// Why nothing was imported.
pub fn manifest(work: &mut Work, import: &mut Import<'_>, name: &str) -> Result<(), Halt> {
    let text = import.text(&["jsonl"])?;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", number + 1);
        match serde_json::from_str::<Row>(line) {
            Ok(row) if Score::new(row.label.value()).is_err() => {
                let problem = format!("the label is {}; it must be 1 to 5", row.label.value());
                import.report.refuse(place, problem);
            }
            Ok(row) => lines.push(Line { place, row }),
            Err(error) => import.report.refuse(place, error.to_string()),
        }
    }
    import.report.scale = Some("labels from 1 to 5".to_owned());
    bring(work, import, name, lines)
}

/// Imports labels in a published layout.
///
/// # Errors
/// Why nothing was imported.
pub fn labels(work: &mut Work, import: &mut Import<'_>, name: &str) -> Result<(), Halt> {
    let content = &import.wish.content;
    let (direction, range) = content.scale().map_err(Halt::Failed)?;
    let Some(layout) = content.layout().map_err(Halt::Failed)? else {
        return Err(Halt::Failed("the layout is missing".to_owned()));
    };
    let ignore_std =
        matches!(content, qponder_shared::transfer::ImportContent::Labels { ignore_std: true, .. });
    let text = import.text(&["csv", "txt", "tsv", "json", "jsonl"])?;
    let parsed = layout.parse(&text).map_err(|error| Halt::Failed(error.to_string()))?;
    let reading = Reading { direction, range, ignore_std, ..Reading::default() };
    let plan =
        plan(parsed, name.trim(), &reading).map_err(|error| Halt::Failed(on_the_page(&error.to_string())))?;
    let from = match plan.scale.range_from {
        Origin::Given => "as given",
        Origin::Published => "as published",
        Origin::Extremes => "the extremes of the file",
    };
    let checked = match plan.evidence {
        Evidence::None => "nothing in the file tells whether the direction is right".to_owned(),
        Evidence::Levels { falling, rising } => format!(
            "quality falls with the level of distortion in {falling} of {} pairs of images",
            falling + rising
        ),
        Evidence::Votes { srcc } => format!("SRCC with the published votes {srcc:.3}"),
    };
    let scale = plan.scale.scale;
    import.report.scale =
        Some(format!("{} ({from}), {}, brought to 1 to 5; {checked}", scale.range, scale.direction));
    let lines =
        plan.rows.into_iter().map(|planned| Line { place: planned.place.to_string(), row: planned.row });
    bring(work, import, name, lines.collect())
}

/// Command-line options of a message in the words of the page.
fn on_the_page(message: &str) -> String {
    message.replace("add --direction", "set the direction").replace("add --range", "set the range")
}

/// Finds the images of lines, and makes the dataset and the labels.
fn bring(work: &mut Work, import: &mut Import<'_>, name: &str, lines: Vec<Line>) -> Result<(), Halt> {
    let names: BTreeSet<String> = lines.iter().map(|line| line.row.image.clone()).collect();
    let found = find(work, import, &names)?;
    let mut rows: Vec<(ImageId, Row)> = Vec::with_capacity(lines.len());
    let mut hashes = Vec::with_capacity(lines.len());
    for Line { place, row } in lines {
        match found.get(&row.image) {
            Some(Ok(image)) => {
                hashes.push((image.sha256.clone(), row.split, row.id.clone()));
                rows.push((image.id, Row { image: image.path(), ..row }));
            }
            Some(Err(problem)) => import.report.refuse(format!("{place}, {}", row.image), problem.clone()),
            None => import.report.refuse(format!("{place}, {}", row.image), "it was not looked up"),
        }
    }
    import.check()?;
    if rows.is_empty() {
        return Err(Halt::Failed("no line is left to import".to_owned()));
    }
    if let Some(leak) = leaks(hashes).first() {
        return Err(Halt::Failed(format!(
            "the same image is in several splits ({}): leave one",
            leak.bearers()
        )));
    }
    let references = rows.iter().map(|(_, row)| (row.reference.clone(), row.split, row.id.clone()));
    if let Some(leak) = leaks(references).first() {
        return Err(Halt::Failed(format!(
            "reference {} is in several splits ({}), so that its versions would be trained on and tested on: give \
             them one split",
            leak.key,
            leak.bearers()
        )));
    }
    make(work, import, name.trim(), &rows)
}

fn make(work: &mut Work, import: &mut Import<'_>, name: &str, rows: &[(ImageId, Row)]) -> Result<(), Halt> {
    let mut lines = Vec::with_capacity(rows.len());
    for (image, row) in rows {
        let line = serde_json::to_string(row)
            .map_err(|error| Halt::Failed(format!("{} cannot be written: {error}", row.id)))?;
        lines.push((*image, line));
    }
    let manifest: String = lines.iter().flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
    let new = NewDataset {
        name,
        study: None,
        query: work.transfer.query.clone(),
        lines: &lines,
        answers: rows.iter().filter(|(_, row)| row.answer.is_some()).count().try_into().unwrap_or(u32::MAX),
        sha256: &sha256(manifest.as_bytes()),
    };
    let labels: Vec<(ImageId, ImageLabel)> = rows
        .iter()
        .filter_map(|(image, row)| {
            let kind = match row.label {
                Label::Mos(_) => LabelKind::Mos,
                Label::Proxy(_) => LabelKind::Proxy,
            };
            let (source, value) = (name.to_owned(), Score::clamped(row.label.value())?);
            Some((*image, ImageLabel { kind, source, value, n: None, sd: row.mos_std }))
        })
        .collect();
    work.progress(rows.len(), rows.len())?;
    let dataset = work.wait(async {
        let dataset = work.shelf.store.add_dataset(&new, &work.by).await?;
        work.shelf.store.set_labels(&labels, &work.by).await?;
        Ok::<_, Halt>(dataset)
    })?;
    import.report.lines = rows.len() as u64;
    import.report.dataset = Some(dataset.id);
    Ok(())
}
