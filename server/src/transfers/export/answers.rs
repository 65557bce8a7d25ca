//! What models answered, as a table or as conversations.

use std::io::Write;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use qponder_shared::Attribute;
use qponder_shared::api::Mode;
use qponder_shared::compare;
use qponder_shared::dataset::Conversation;
use qponder_shared::grammar;
use qponder_shared::transfer::{AnswerFilter, ExportFormat};

use super::sheet::{Cell, Sheet, Values};
use super::{Images, place};
use crate::store::answers::Answer;
use crate::transfers::work::{Halt, Work};

/// Columns of the table. Levels are 1 (bad) to 5 (excellent).
const COLUMNS: [&str; 15] = [
    "assessment",
    "image",
    "sha256",
    "model",
    "mode",
    "prompt_version",
    "score",
    "sharpness",
    "noise",
    "exposure",
    "contrast",
    "colour",
    "compression",
    "text",
    "created_at",
];

/// Writes answers; the images that they are about.
///
/// # Errors
/// Why they cannot be written.
pub fn write(
    work: &mut Work,
    filter: &AnswerFilter,
    format: ExportFormat,
    out: impl Write,
) -> Result<Images, Halt> {
    let mut filter = filter.clone();
    if format.is_conversations() {
        // Quick scores are no conversations about reasons.
        filter.mode = Some(Mode::Reason);
    }
    let total = work.wait(work.shelf.store.count_answers(&filter))? as usize;
    let mut images = Images::new();
    let mut writer = match format {
        ExportFormat::MsSwift => Writer::Values(Values::lines(out)),
        ExportFormat::LlamaFactory => Writer::Values(Values::array(out)),
        ExportFormat::Csv | ExportFormat::Manifest | ExportFormat::Deqa => {
            Writer::Sheet(Box::new(Sheet::new(out, &COLUMNS)?))
        }
    };
    let store = work.shelf.store.clone();
    let (mut answers, mut done) = (pin!(store.answers(&filter)), 0);
    while let Some(answer) = work.wait(answers.try_next())? {
        let (_, sha256, image_format) = &answer.image;
        let place = place(sha256, image_format);
        match &mut writer {
            Writer::Sheet(sheet) => sheet.row(&cells(&answer))?,
            Writer::Values(values) => {
                values.write(&Conversation::new(place.clone(), answer.text.clone()))?;
            }
        }
        images.insert(sha256.clone(), place);
        done += 1;
        work.progress(done, total.max(done))?;
    }
    match writer {
        Writer::Sheet(sheet) => sheet.finish()?,
        Writer::Values(values) => values.finish()?,
    }
    Ok(images)
}

enum Writer<W: Write> {
    Sheet(Box<Sheet<W>>),
    Values(Values<W>),
}

/// In the order of [`COLUMNS`].
fn cells(answer: &Answer) -> Vec<Cell> {
    let levels = match answer.mode {
        Mode::Reason => compare::levels(&grammar::parse(&answer.text)),
        Mode::Quick => [None; Attribute::ALL.len()],
    };
    let (name, sha256, _) = &answer.image;
    let mut cells: Vec<Cell> = vec![
        answer.id.to_string().into(),
        name.as_str().into(),
        sha256.as_str().into(),
        answer.model.as_str().into(),
        answer.mode.name().into(),
        answer.prompt_version.as_str().into(),
        answer.score.into(),
    ];
    cells.extend(levels.map(|level| Cell::from(level.map(|level| level as i64 + 1))));
    cells.extend([answer.text.as_str().into(), answer.created_at.as_str().into()]);
    cells
}
