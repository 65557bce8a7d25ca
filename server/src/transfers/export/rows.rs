//! What is known of images, a row each: from a study's votes, or from a version of a dataset.

use std::collections::BTreeMap;
use std::io::Write;

use qponder_shared::api::Image;
use qponder_shared::dataset::{Conversation, deqa_item};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::study::dataset::{CreateDataset, Settled, rows};
use qponder_shared::study::statistics::{StudyStatistics, statistics};
use qponder_shared::transfer::{ExportFormat, RowFilter};
use qponder_shared::{DatasetId, ImageId};

use super::Images;
use super::sheet::{Cell, Sheet, Values};
use crate::store::studies::Viewer;
use crate::transfers::work::{Halt, Work};

/// Lines of a dataset that are read at a time.
const PAGE: i64 = 2000;
/// Columns of a study's table.
const STUDY: [&str; 11] =
    ["item", "image", "sha256", "kind", "n", "mos", "std", "low", "high", "expected", "answers"];
/// Columns of a study of pairs.
const PAIRS: [&str; 5] = ["image", "sha256", "n", "strength", "error"];
/// Columns of a dataset's table.
const ROWS: [&str; 9] = ["id", "image", "mos", "proxy", "std", "split", "reference", "source", "answer"];

/// Writes what a study says of its images.
///
/// # Errors
/// Why it cannot be written.
pub fn write_study(
    work: &mut Work,
    filter: &RowFilter,
    format: ExportFormat,
    out: impl Write,
) -> Result<Images, Halt> {
    let store = &work.shelf.store;
    let study = work.wait(store.study(filter.study, Viewer::SERVER))?;
    let study = study.ok_or_else(|| Halt::Failed(format!("there is no study {} any more", filter.study)))?;
    let (votes, settled) = work.wait(async {
        Ok::<_, Halt>((store.study_votes(filter.study).await?, store.settled(filter.study).await?))
    })?;
    work.progress(0, votes.items.len())?;
    let mut made = statistics(votes, filter.screening, study.seed.cast_unsigned())
        .map_err(|error| Halt::Failed(format!("the votes give no statistics: {error}")))?;
    if filter.min_votes > 0 {
        for item in &mut made.report.items {
            if item.n < filter.min_votes as usize {
                item.mos = None;
            }
        }
    }
    if format == ExportFormat::Csv {
        return write_table(work, &made, &settled, filter, out);
    }
    let wish = CreateDataset {
        name: study.name.clone(),
        screening: filter.screening,
        only_answered: filter.only_answered,
        validation_share: filter.validation_share,
    };
    let rows: Vec<Row> = rows(&study.name, &made, &settled, &wish).into_iter().map(|(_, row)| row).collect();
    let mut images = Images::new();
    write_rows(work, rows, format, out, &mut images)?;
    Ok(images)
}

/// Writes a version of a dataset.
///
/// # Errors
/// Why it cannot be written.
pub fn write_dataset(
    work: &mut Work,
    id: DatasetId,
    split: Option<Split>,
    format: ExportFormat,
    out: impl Write,
) -> Result<Images, Halt> {
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let lines = work.wait(work.shelf.store.dataset_lines(id, after, PAGE))?;
        let Some(last) = lines.last() else { break };
        after = last.position;
        for line in &lines {
            let row: Row = serde_json::from_str(&line.text)
                .map_err(|error| Halt::Failed(format!("line {} of the dataset: {error}", line.position)))?;
            if split.is_none_or(|split| split == row.split) {
                rows.push(row);
            }
        }
    }
    let mut images = Images::new();
    write_rows(work, rows, format, out, &mut images)?;
    Ok(images)
}

fn write_rows(
    work: &mut Work,
    mut rows: Vec<Row>,
    format: ExportFormat,
    out: impl Write,
    images: &mut Images,
) -> Result<(), Halt> {
    if format.is_conversations() {
        rows.retain(|row| row.answer.is_some());
    }
    if rows.is_empty() {
        let what = if format.is_conversations() { "an answer" } else { "a label" };
        return Err(Halt::Failed(format!(
            "nothing is left to export: no image has {what} under these filters"
        )));
    }
    for row in &rows {
        images.insert(hash_of(&row.image).to_owned(), row.image.clone());
    }
    let total = rows.len();
    if format == ExportFormat::Csv {
        let mut sheet = Sheet::new(out, &ROWS)?;
        for (done, row) in rows.iter().enumerate() {
            sheet.row(&cells(row))?;
            work.progress(done, total)?;
        }
        return sheet.finish();
    }
    let is_lines = matches!(format, ExportFormat::Manifest | ExportFormat::MsSwift);
    let mut values = if is_lines { Values::lines(out) } else { Values::array(out) };
    for (done, row) in rows.into_iter().enumerate() {
        match (format, &row.answer) {
            (ExportFormat::Manifest, _) => values.write(&row)?,
            (ExportFormat::Deqa, _) => values.write(&deqa_item(&row))?,
            (_, Some(answer)) => values.write(&Conversation::new(row.image.clone(), answer.clone()))?,
            (_, None) => {}
        }
        work.progress(done, total)?;
    }
    values.finish()
}

/// In the order of [`ROWS`].
fn cells(row: &Row) -> Vec<Cell> {
    let (mos, proxy) = match row.label {
        Label::Mos(value) => (Some(value), None),
        Label::Proxy(value) => (None, Some(value)),
    };
    vec![
        row.id.as_str().into(),
        row.image.as_str().into(),
        mos.into(),
        proxy.into(),
        row.mos_std.into(),
        row.split.name().into(),
        row.reference.as_str().into(),
        row.source.as_str().into(),
        row.answer.as_deref().into(),
    ]
}

/// A study's statistics as a table: MOS of images, or strengths in a study of pairs.
fn write_table(
    work: &mut Work,
    made: &StudyStatistics,
    settled: &[Settled],
    filter: &RowFilter,
    out: impl Write,
) -> Result<Images, Halt> {
    let mut images = Images::new();
    let known = |work: &Work, id: ImageId, images: &mut Images| -> Result<Option<Image>, Halt> {
        let image = work.wait(work.shelf.store.image(id))?;
        if let Some(image) = &image {
            images.insert(image.sha256.clone(), super::place(&image.sha256, &image.format));
        }
        Ok(image)
    };
    if let Some(pairs) = &made.pairs {
        let reason = || pairs.reason.clone().unwrap_or_else(|| "the votes give no strengths".to_owned());
        let strengths = pairs.strengths.as_ref().ok_or_else(|| Halt::Failed(reason()))?;
        let mut sheet = Sheet::new(out, &PAIRS)?;
        for (done, (id, strength)) in pairs.images.iter().zip(&strengths.items).enumerate() {
            let Some(image) = known(work, *id, &mut images)? else { continue };
            sheet.row(&[
                image.name.into(),
                image.sha256.into(),
                Cell::Whole(strength.n.cast_signed()),
                strength.strength.into(),
                strength.error.into(),
            ])?;
            work.progress(done, pairs.images.len())?;
        }
        sheet.finish()?;
        return Ok(images);
    }
    let mut sheet = Sheet::new(out, &STUDY)?;
    let answers: BTreeMap<ImageId, usize> =
        settled.iter().map(|file| (file.image, file.answers.len())).collect();
    for (done, (item, what)) in made.items.iter().zip(&made.report.items).enumerate() {
        let [id] = item.images[..] else { continue };
        let count = answers.get(&id).copied().unwrap_or_default();
        let is_left_out =
            (filter.only_answered && count == 0) || (filter.min_votes > 0 && what.mos.is_none());
        let Some(image) = (if is_left_out { None } else { known(work, id, &mut images)? }) else { continue };
        sheet.row(&[
            item.id.to_string().into(),
            image.name.into(),
            image.sha256.into(),
            item.kind.name().into(),
            Cell::Whole(what.n as i64),
            what.mos.into(),
            what.deviation.into(),
            what.interval.map(|interval| interval.low).into(),
            what.interval.map(|interval| interval.high).into(),
            item.expected.into(),
            Cell::Whole(count as i64),
        ])?;
        work.progress(done, made.items.len())?;
    }
    sheet.finish()?;
    Ok(images)
}

/// The hash in a path such as `images/9f86….png`.
fn hash_of(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}
