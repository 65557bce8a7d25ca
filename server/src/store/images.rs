//! Images: rows, listings, and the lock that keeps a row and its bytes together.

use qponder_shared::api::{AssessmentSummary, Image, Page};
use qponder_shared::compare::Label;
use qponder_shared::{AssessmentId, ImageId, Score};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::assessments::read_mode;
use super::audit::{By, Change, note};
use super::cursor::{Cursor, Order};
use super::{Store, StoreError};

/// What is known of an image before it has a row.
pub struct NewImage {
    /// File name as the uploader gave it, made safe to show.
    pub name: String,
    /// SHA-256 of the original bytes, lower-case hex.
    pub sha256: String,
    /// `png`, `jpeg` or `webp`.
    pub format: &'static str,
    /// Size in pixels after the orientation was applied.
    pub width: usize,
    /// Height in pixels after the orientation was applied.
    pub height: usize,
    /// Length of the original file.
    pub bytes: usize,
}

/// The order of a listing of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Latest upload first.
    #[default]
    Newest,
    /// Earliest upload first.
    Oldest,
    /// Highest latest score first; images without a score come last.
    Best,
    /// Lowest latest score first; images without a score come last.
    Worst,
}

/// What became of an image that was to be deleted.
pub enum Deleted {
    /// It is gone; these are the hash of its bytes.
    Sha256(String),
    /// People rate it in this study.
    InStudy(String),
    /// There is no such image.
    NoImage,
}

impl Order for Sort {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Sort::Newest, "newest"), (Sort::Oldest, "oldest"), (Sort::Best, "best"), (Sort::Worst, "worst")];
}

impl Sort {
    /// Where an image without a score stands: after every real score of either order.
    fn key(self, score: Option<Score>) -> f64 {
        match self {
            Sort::Newest | Sort::Oldest => 0.0,
            Sort::Best => score.map_or(0.0, Score::get),
            Sort::Worst => score.map_or(6.0, Score::get),
        }
    }
}

/// What [`read`] reads, of `images` and of `assessments` joined as the latest.
macro_rules! image_columns {
    () => {
        concat!(
            "images.id, images.name, images.sha256, images.format, images.width, images.height, ",
            "images.bytes, images.created_at, images.latest_score, ",
            "assessments.id as latest_id, assessments.mode as latest_mode, assessments.model as latest_model, ",
            "(select coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'source', source, 'value', value, 'n', n, ",
            "'sd', sd) order by kind, created_at desc, source), '[]') from labels where image_id = images.id) as labels "
        )
    };
}
pub(super) use image_columns;

macro_rules! select_image {
    ($rest:literal) => {
        concat!(
            "select ",
            image_columns!(),
            "from images left join assessments on assessments.id = images.latest ",
            $rest
        )
    };
}

impl Store {
    /// The image with an id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn image(&self, id: ImageId) -> Result<Option<Image>, StoreError> {
        let row =
            sqlx::query(select_image!("where images.id = $1")).bind(id.0).fetch_optional(&self.pool).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// One page of images, `limit` at most, after `cursor`. Costs the same on every page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn images(
        &self,
        sort: Sort,
        cursor: Option<Cursor<Sort>>,
        limit: usize,
    ) -> Result<Page<Image>, StoreError> {
        // One more than asked for tells whether another page follows.
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let id = cursor.map(|cursor| cursor.id);
        let key = cursor.map(|cursor| cursor.key);
        let (lowest, highest) = (id.unwrap_or(uuid::Uuid::nil()), id.unwrap_or(uuid::Uuid::max()));
        let query = match sort {
            Sort::Newest => {
                sqlx::query(select_image!("where images.id < $2 order by images.id desc limit $1"))
                    .bind(wanted)
                    .bind(highest)
            }
            Sort::Oldest => sqlx::query(select_image!("where images.id > $2 order by images.id limit $1"))
                .bind(wanted)
                .bind(lowest),
            Sort::Best => sqlx::query(select_image!(
                "where (coalesce(images.latest_score, 0), images.id) < ($3, $2) \
                 order by coalesce(images.latest_score, 0) desc, images.id desc limit $1"
            ))
            .bind(wanted)
            .bind(highest)
            .bind(key.unwrap_or(f64::INFINITY)),
            Sort::Worst => sqlx::query(select_image!(
                "where (coalesce(images.latest_score, 6), images.id) > ($3, $2) \
                 order by coalesce(images.latest_score, 6), images.id limit $1"
            ))
            .bind(wanted)
            .bind(lowest)
            .bind(key.unwrap_or(f64::NEG_INFINITY)),
        };
        let rows = query.fetch_all(&self.pool).await?;
        let items = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(items, limit, |last| {
            let score = last.latest.as_ref().and_then(|latest| latest.score);
            Cursor { order: sort, key: sort.key(score), id: last.id.0 }.write()
        }))
    }

    /// Stores an image, or finds the one that has the same bytes. `write` puts the bytes in place;
    /// it runs while the hash is locked, so that nobody deletes them before the row stands.
    ///
    /// Returns the image and whether it was there before.
    ///
    /// # Errors
    /// When the database or `write` fails; then there is no row.
    pub async fn add_image<E: From<StoreError>>(
        &self,
        new: &NewImage,
        by: &By,
        write: impl Future<Output = Result<(), E>>,
    ) -> Result<(Image, bool), E> {
        let mut transaction = self.pool.begin().await.map_err(StoreError::from)?;
        lock_hash(&mut transaction, &new.sha256).await?;
        if let Some(row) = sqlx::query(select_image!("where images.sha256 = $1"))
            .bind(&new.sha256)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(StoreError::from)?
        {
            return Ok((read(&row)?, true));
        }
        write.await?;
        let id = ImageId::new();
        sqlx::query(
            "insert into images (id, name, sha256, format, width, height, bytes) values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.0)
        .bind(&new.name)
        .bind(&new.sha256)
        .bind(new.format)
        .bind(to_i32(new.width))
        .bind(to_i32(new.height))
        .bind(i64::try_from(new.bytes).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)?;
        let row = sqlx::query(select_image!("where images.id = $1"))
            .bind(id.0)
            .fetch_one(&mut *transaction)
            .await
            .map_err(StoreError::from)?;
        let image = read(&row)?;
        let change = Change { action: "image.add", object: Some(id.0), detail: &new.name };
        note(&mut transaction, by, change).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok((image, false))
    }

    /// Deletes an image and its assessments, unless a study has it: votes would say nothing without it.
    /// The bytes themselves go with [`Store::with_unused_hash`].
    ///
    /// # Errors
    /// When the database fails; then nothing is deleted.
    pub async fn delete_image(&self, id: ImageId, by: &By) -> Result<Deleted, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Locked, so that no study takes it up meanwhile.
        sqlx::query("select from images where id = $1 for update")
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
        let study: Option<String> = sqlx::query_scalar(
            "select studies.name from study_items join studies on studies.id = study_id \
             where image_id = $1 or other_image_id = $1 limit 1",
        )
        .bind(id.0)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(study) = study {
            return Ok(Deleted::InStudy(study));
        }
        let deleted: Option<(String, String)> =
            sqlx::query_as("delete from images where id = $1 returning sha256, name")
                .bind(id.0)
                .fetch_optional(&mut *transaction)
                .await?;
        let Some((sha256, name)) = deleted else {
            return Ok(Deleted::NoImage);
        };
        note(&mut transaction, by, Change { action: "image.delete", object: Some(id.0), detail: &name })
            .await?;
        transaction.commit().await?;
        Ok(Deleted::Sha256(sha256))
    }

    /// Runs `delete` if no image has these bytes, and keeps any from getting them meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn with_unused_hash(
        &self,
        sha256: &str,
        delete: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let used = "select exists (select from images where sha256 = $1) \
                    or exists (select from artifacts where sha256 = $1)";
        self.unless_used(used, sha256, delete).await
    }

    /// Runs `delete` unless the query `used` says of a hash that it is in use, under the lock of the hash.
    pub(super) async fn unless_used(
        &self,
        used: &'static str,
        sha256: &str,
        delete: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        lock_hash(&mut transaction, sha256).await?;
        let is_used: bool = sqlx::query_scalar(used).bind(sha256).fetch_one(&mut *transaction).await?;
        if !is_used {
            delete.await;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Serialises everything that adds or removes bytes of one hash, until the transaction ends.
pub(super) async fn lock_hash(connection: &mut PgConnection, sha256: &str) -> Result<(), StoreError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(sha256)
        .execute(connection)
        .await?;
    Ok(())
}

fn to_i32(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub(super) fn read(row: &PgRow) -> Result<Image, StoreError> {
    let created_at: OffsetDateTime = row.try_get("created_at")?;
    let latest: Option<uuid::Uuid> = row.try_get("latest_id")?;
    let latest = match latest {
        None => None,
        Some(id) => Some(AssessmentSummary {
            id: AssessmentId(id),
            mode: read_mode(row.try_get("latest_mode")?)?,
            model: row.try_get("latest_model")?,
            score: row.try_get::<Option<f64>, _>("latest_score")?.and_then(Score::clamped),
        }),
    };
    Ok(Image {
        id: ImageId(row.try_get("id")?),
        name: row.try_get("name")?,
        sha256: row.try_get("sha256")?,
        format: row.try_get("format")?,
        width: row.try_get::<i32, _>("width")?.unsigned_abs(),
        height: row.try_get::<i32, _>("height")?.unsigned_abs(),
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
        created_at: rfc3339(created_at),
        latest,
        labels: row.try_get::<Json<Vec<Label>>, _>("labels")?.0,
    })
}

/// A time as the wire has it.
pub fn rfc3339(time: OffsetDateTime) -> String {
    // Only years outside 0 to 9999 cannot be written so.
    time.format(&Rfc3339).unwrap_or_else(|_| time.unix_timestamp().to_string())
}
