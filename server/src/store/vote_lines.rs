//! All votes of a study, one after the other, for exports.

use futures_util::{Stream, StreamExt as _};
use qponder_shared::study::{ItemKind, Rating};
use qponder_shared::transfer::VoteFilter;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::images::rfc3339;
use super::votes::read_rating;
use super::{Store, StoreError};

/// A vote with everything that is known of it.
pub struct FullVote {
    /// Its id.
    pub id: Uuid,
    /// What was rated.
    pub item: Uuid,
    /// What the item is for.
    pub kind: String,
    /// Name, SHA-256 and format of the image.
    pub image: (String, String, String),
    /// The same of the other image of a pair.
    pub other_image: Option<(String, String, String)>,
    /// Who voted.
    pub subject: Uuid,
    /// Their name.
    pub person: String,
    /// 1 for the second time.
    pub repeat: i16,
    /// What they said.
    pub rating: Rating,
    /// What is wrong with the image.
    pub flag: Option<String>,
    /// Given before the voter saw anybody's answer.
    pub blind: bool,
    /// Whether statistics use it.
    pub counted: bool,
    /// How the image was seen; nothing where that is not known, as with imported votes.
    pub conditions: Seen,
    /// The answer of training and gold.
    pub expected: Option<f64>,
    /// When.
    pub created_at: String,
}

/// How an image was seen.
pub struct Seen {
    /// Device pixels per image pixel.
    pub zoom: Option<f64>,
    /// Device pixels per CSS pixel.
    pub device_pixel_ratio: Option<f64>,
    /// Width of the viewer in device pixels.
    pub viewport_width: Option<i32>,
    /// Height of the viewer in device pixels.
    pub viewport_height: Option<i32>,
    /// Milliseconds in view.
    pub ms: Option<i64>,
}

macro_rules! vote_query {
    ($what:literal, $rest:literal) => {
        concat!(
            "select ",
            $what,
            " from (select votes.*, blind and not exists (select from votes newer \
             where newer.item_id = votes.item_id and newer.subject_id = votes.subject_id \
             and newer.repeat = votes.repeat and newer.blind and newer.id > votes.id) as counted \
             from votes where study_id = $1 and ($2::uuid is null or subject_id = $2) \
             and (not $3 or flag is not null) \
             and ($4::text is null or created_at >= $4::date at time zone 'UTC') \
             and ($5::text is null or created_at < ($5::date + 1) at time zone 'UTC')) votes \
             join study_items on study_items.id = item_id join subjects on subjects.id = subject_id \
             join images on images.id = study_items.image_id \
             where ($6::text is null or kind = $6) and (not $7 or (counted and kind <> 'training'))",
            $rest
        )
    };
}

impl Store {
    /// How many votes a filter leaves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_votes(&self, filter: &VoteFilter) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(vote_query!("count(*)", ""))
            .bind(filter.study.0)
            .bind(filter.subject.map(|subject| subject.0))
            .bind(filter.flagged)
            .bind(&filter.since)
            .bind(&filter.until)
            .bind(filter.kind.map(ItemKind::name))
            .bind(filter.counted)
            .fetch_one(&self.pool)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Votes in the order in which they came, as they are at this moment, one after the other.
    pub fn full_votes(&self, filter: &VoteFilter) -> impl Stream<Item = Result<FullVote, StoreError>> {
        sqlx::query(vote_query!(
            "votes.*, study_items.kind, study_items.expected, subjects.name as person, images.name as image, \
             images.sha256, images.format, (select name from images where images.id = other_image_id) as other_image, \
             (select sha256 from images where images.id = other_image_id) as other_sha256, \
             (select format from images where images.id = other_image_id) as other_format",
            " order by votes.id"
        ))
        .bind(filter.study.0)
        .bind(filter.subject.map(|subject| subject.0))
        .bind(filter.flagged)
        .bind(filter.since.clone())
        .bind(filter.until.clone())
        .bind(filter.kind.map(ItemKind::name))
        .bind(filter.counted)
        .fetch(&self.pool)
        .map(|row| read(&row?))
    }
}

fn read(row: &PgRow) -> Result<FullVote, StoreError> {
    let other: Option<String> = row.try_get("other_image")?;
    let other = match other {
        Some(name) => Some((name, row.try_get("other_sha256")?, row.try_get("other_format")?)),
        None => None,
    };
    Ok(FullVote {
        id: row.try_get("id")?,
        item: row.try_get("item_id")?,
        kind: row.try_get("kind")?,
        image: (row.try_get("image")?, row.try_get("sha256")?, row.try_get("format")?),
        other_image: other,
        subject: row.try_get("subject_id")?,
        person: row.try_get("person")?,
        repeat: row.try_get("repeat")?,
        rating: read_rating(row)?,
        flag: row.try_get("flag")?,
        blind: row.try_get("blind")?,
        counted: row.try_get::<bool, _>("counted")? && row.try_get::<String, _>("kind")? != "training",
        conditions: Seen {
            zoom: row.try_get("zoom")?,
            device_pixel_ratio: row.try_get("device_pixel_ratio")?,
            viewport_width: row.try_get("viewport_width")?,
            viewport_height: row.try_get("viewport_height")?,
            ms: row.try_get("ms")?,
        },
        expected: row.try_get("expected")?,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
