//! Versions of datasets. They are made whole and never changed.

use qponder_shared::manifest::Split;
use qponder_shared::study::dataset::{Dataset, Settled};
use qponder_shared::{DatasetId, ImageId, StudyId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::{Store, StoreError};

/// A version that is to be made.
pub struct NewDataset<'a> {
    /// A name that is there already gets its next version.
    pub name: &'a str,
    /// The study that it comes from, if it does.
    pub study: Option<StudyId>,
    /// What was asked for.
    pub query: serde_json::Value,
    /// Lines of the manifest, with the image of each.
    pub lines: &'a [(ImageId, String)],
    /// Lines with an answer.
    pub answers: u32,
    /// SHA-256 of the manifest.
    pub sha256: &'a str,
}

/// One line of a manifest, and its image's file.
pub struct Line {
    /// Place in the manifest.
    pub position: i32,
    /// The line.
    pub text: String,
    /// SHA-256 of the image's bytes.
    pub sha256: String,
    /// `png`, `jpeg` or `webp`.
    pub format: String,
}

impl Store {
    /// The files of a study's images, and the newest versions of their accepted annotations.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settled(&self, study: StudyId) -> Result<Vec<Settled>, StoreError> {
        let rows = sqlx::query(
            "select images.id, images.sha256, images.format, \
             coalesce((select array_agg(annotations.text order by threads.id) from annotation_threads threads \
              join annotations on annotations.thread_id = threads.id and annotations.version = threads.version \
              where threads.item_id = study_items.id and threads.state = 'accepted'), '{}') as answers \
             from study_items join images on images.id = study_items.image_id where study_id = $1",
        )
        .bind(study.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Settled {
                    image: ImageId(row.try_get("id")?),
                    sha256: row.try_get("sha256")?,
                    format: row.try_get("format")?,
                    answers: row.try_get("answers")?,
                })
            })
            .collect()
    }

    /// Makes the next version of a dataset.
    ///
    /// # Errors
    /// When the database fails; then there is none.
    pub async fn add_dataset(&self, new: &NewDataset<'_>, by: &By) -> Result<Dataset, StoreError> {
        let id = DatasetId::new();
        let mut transaction = self.pool.begin().await?;
        // Of two who make the same name at once the second waits and gets the next number.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 2))")
            .bind(new.name)
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query(
            "insert into datasets (id, name, version, study_id, query, images, answers, sha256, created_by) \
             select $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5, $6, $7, $8 from datasets where name = $2 \
             returning *",
        )
        .bind(id.0)
        .bind(new.name)
        .bind(new.study.map(|study| study.0))
        .bind(Json(&new.query))
        .bind(i32::try_from(new.lines.len()).unwrap_or(i32::MAX))
        .bind(new.answers.cast_signed())
        .bind(new.sha256)
        .bind(&by.name)
        .fetch_one(&mut *transaction)
        .await?;
        let images: Vec<Uuid> = new.lines.iter().map(|(image, _)| image.0).collect();
        let lines: Vec<&str> = new.lines.iter().map(|(_, line)| line.as_str()).collect();
        sqlx::query(
            "insert into dataset_items (dataset_id, position, image_id, line) \
             select $1, position, image, line from unnest($2, $3) with ordinality as t(image, line, position)",
        )
        .bind(id.0)
        .bind(images)
        .bind(lines)
        .execute(&mut *transaction)
        .await?;
        let dataset = read(&row)?;
        let detail = format!("{} version {}", dataset.name, dataset.version);
        note(&mut transaction, by, Change { action: "dataset.create", object: Some(id.0), detail: &detail })
            .await?;
        transaction.commit().await?;
        Ok(dataset)
    }

    /// One page of datasets, newest first: `limit` at most, before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn datasets(
        &self,
        before: Option<DatasetId>,
        limit: usize,
    ) -> Result<Vec<Dataset>, StoreError> {
        let rows = sqlx::query("select * from datasets where id < $1 order by id desc limit $2")
            .bind(before.map_or(Uuid::max(), |id| id.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// A dataset.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dataset(&self, id: DatasetId) -> Result<Option<Dataset>, StoreError> {
        let row =
            sqlx::query("select * from datasets where id = $1").bind(id.0).fetch_optional(&self.pool).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The images of a dataset, each once, in its order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dataset_images(&self, id: DatasetId) -> Result<Vec<ImageId>, StoreError> {
        let images: Vec<Uuid> = sqlx::query_scalar(
            "select image_id from dataset_items where dataset_id = $1 group by image_id order by min(position)",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(images.into_iter().map(ImageId).collect())
    }

    /// The split of a dataset that models are best measured on: `test` where it has lines, else `val`, else `train`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dataset_split(&self, id: DatasetId) -> Result<Split, StoreError> {
        let splits: Vec<Option<String>> = sqlx::query_scalar(
            "select distinct line::jsonb ->> 'split' from dataset_items where dataset_id = $1",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await?;
        let best = [Split::Test, Split::Val].into_iter();
        let mut best = best.filter(|split| splits.iter().flatten().any(|name| name == split.name()));
        Ok(best.next().unwrap_or(Split::Train))
    }

    /// Lines of a dataset after a position, `limit` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dataset_lines(
        &self,
        id: DatasetId,
        after: i32,
        limit: i64,
    ) -> Result<Vec<Line>, StoreError> {
        let rows = sqlx::query(
            "select position, line, sha256, format from dataset_items join images on images.id = image_id \
             where dataset_id = $1 and position > $2 order by position limit $3",
        )
        .bind(id.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Line {
                    position: row.try_get("position")?,
                    text: row.try_get("line")?,
                    sha256: row.try_get("sha256")?,
                    format: row.try_get("format")?,
                })
            })
            .collect()
    }
}

fn read(row: &PgRow) -> Result<Dataset, StoreError> {
    let number = |name: &str| Ok::<_, StoreError>(row.try_get::<i32, _>(name)?.unsigned_abs());
    Ok(Dataset {
        id: DatasetId(row.try_get("id")?),
        name: row.try_get("name")?,
        version: number("version")?,
        study: row.try_get::<Option<Uuid>, _>("study_id")?.map(StudyId),
        images: number("images")?,
        answers: number("answers")?,
        sha256: row.try_get("sha256")?,
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
