//! Every vote of a study as a table.

use std::io::Write;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use qponder_shared::study::{Preference, Rating};
use qponder_shared::transfer::{VOTE_COLUMNS, VoteFilter};
use qponder_shared::{Attribute, Score};

use super::sheet::{Cell, Sheet};
use super::{Images, place};
use crate::store::vote_lines::FullVote;
use crate::transfers::work::{Halt, Work};

/// Writes the table; the images that it names.
///
/// # Errors
/// Why it cannot be written.
pub fn write(work: &mut Work, filter: &VoteFilter, out: impl Write) -> Result<Images, Halt> {
    let total = work.wait(work.shelf.store.count_votes(filter))? as usize;
    let mut sheet = Sheet::new(out, &VOTE_COLUMNS)?;
    let (mut images, mut done) = (Images::new(), 0);
    let store = work.shelf.store.clone();
    let mut votes = pin!(store.full_votes(filter));
    while let Some(vote) = work.wait(votes.try_next())? {
        for (_, sha256, format) in std::iter::once(&vote.image).chain(&vote.other_image) {
            images.entry(sha256.clone()).or_insert_with(|| place(sha256, format));
        }
        sheet.row(&cells(&vote))?;
        done += 1;
        work.progress(done, total.max(done))?;
    }
    sheet.finish()?;
    Ok(images)
}

/// In the order of [`VOTE_COLUMNS`].
fn cells(vote: &FullVote) -> Vec<Cell> {
    let level_of = |attribute: Attribute| match &vote.rating {
        Rating::Levels { levels, .. } => {
            let found = levels.iter().find(|(rated, _)| *rated == attribute);
            Cell::from(found.map(|(_, level)| *level as i64 + 1))
        }
        _ => Cell::Nothing,
    };
    let (preference, skipped) = match &vote.rating {
        Rating::Preference { preference } => (Some(Preference::name(*preference)), None),
        Rating::Skipped { reason } => (None, Some(reason.as_str())),
        _ => (None, None),
    };
    let other = vote.other_image.as_ref();
    let seen = &vote.conditions;
    let mut cells = vec![
        vote.id.to_string().into(),
        vote.item.to_string().into(),
        vote.kind.as_str().into(),
        vote.image.0.as_str().into(),
        vote.image.1.as_str().into(),
        other.map(|other| other.0.as_str()).into(),
        other.map(|other| other.1.as_str()).into(),
        vote.subject.to_string().into(),
        vote.person.as_str().into(),
        i64::from(vote.repeat).into(),
        vote.rating.score().map(Score::get).into(),
    ];
    cells.extend(Attribute::ALL.map(level_of));
    cells.extend([
        preference.into(),
        skipped.into(),
        vote.flag.as_deref().into(),
        vote.blind.into(),
        vote.counted.into(),
        seen.zoom.into(),
        seen.device_pixel_ratio.into(),
        seen.viewport_width.map(i64::from).into(),
        seen.viewport_height.map(i64::from).into(),
        seen.ms.into(),
        vote.created_at.as_str().into(),
        vote.expected.into(),
    ]);
    cells
}
