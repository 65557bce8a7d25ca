//! Readings: each model's newest readable answer on each image, in short, and the pairs made of them.
//!
//! Written in the transaction that finishes an assessment. The migration leaves levels unread, since there is one
//! parser of answers and it is not in SQL: [`Store::read_earlier`] reads them when the server starts.

use qponder_shared::compare::{self, Levels, Reading};
use qponder_shared::{AssessmentId, Attribute, ImageId, Level, Score, grammar};
use sqlx::{PgConnection, Row};

use super::{Store, StoreError};

/// Unread rows that are read in one transaction.
const BATCH: i64 = 200;

impl Store {
    /// Reads some of the answers that an earlier version left unread; how many it has read.
    ///
    /// # Errors
    /// When the database fails; then nothing is written.
    pub async fn read_earlier(&self) -> Result<usize, StoreError> {
        let unread: Vec<(uuid::Uuid, uuid::Uuid, String)> = sqlx::query_as(
            "select readings.image_id, assessments.id, assessments.text from readings \
             join assessments on assessments.id = assessment_id where levels is null \
             order by readings.image_id limit $1",
        )
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        for (image, assessment, text) in &unread {
            let mut transaction = self.pool.begin().await?;
            note_reading(&mut transaction, ImageId(*image), AssessmentId(*assessment), text).await?;
            transaction.commit().await?;
        }
        Ok(unread.len())
    }

    /// Names of all models that have readings. Costs as many steps as there are models.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn models_with_readings(&self) -> Result<Vec<String>, StoreError> {
        // A loose scan of the index: from each name to the next.
        let names = sqlx::query_scalar(
            "with recursive names as ( \
             (select model from readings order by model limit 1) union all \
             select (select model from readings where model > names.model order by model limit 1) from names \
             where names.model is not null) \
             select model from names where model is not null",
        );
        Ok(names.fetch_all(&self.pool).await?)
    }
}

/// Notes a finished answer as its model's reading of the image, unless it is no readable one in reason mode or a
/// newer one is noted already; and its pairs with the readings of other models, as far as these are read.
pub(super) async fn note_reading(
    connection: &mut PgConnection,
    image: ImageId,
    assessment: AssessmentId,
    text: &str,
) -> Result<(), StoreError> {
    // Two models that finish at once must see each other's reading, or their pair would be missing.
    sqlx::query("select from images where id = $1 for no key update")
        .bind(image.0)
        .execute(&mut *connection)
        .await?;
    let levels = compare::levels(&grammar::parse(text)).map(to_number);
    let model: Option<String> = sqlx::query_scalar(
        "insert into readings (image_id, model, assessment_id, score, levels) \
         select image_id, model, id, score, $2 from assessments \
         where id = $1 and mode = 'reason' and status = 'done' and score is not null \
         on conflict (image_id, model) do update \
         set assessment_id = excluded.assessment_id, score = excluded.score, levels = excluded.levels \
         where readings.assessment_id <= excluded.assessment_id returning model",
    )
    .bind(assessment.0)
    .bind(levels.as_slice())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(model) = model else { return Ok(()) };
    sqlx::query(
        "insert into pairs (first, second, image_id, first_score, second_score, lot) \
         select one.model, other.model, $1, one.score, other.score, \
         hashtextextended($1::text, 0) >> 32 \
         from readings one join readings other on other.image_id = one.image_id \
         and one.model collate \"C\" < other.model collate \"C\" \
         where one.image_id = $1 and (one.model = $2 or other.model = $2) \
         and one.levels is not null and other.levels is not null \
         on conflict (first, second, image_id) do update \
         set first_score = excluded.first_score, second_score = excluded.second_score",
    )
    .bind(image.0)
    .bind(model)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// A reading from the columns `{side}_id`, `{side}_score` and `{side}_levels`; `None` where there is none.
pub(super) fn read_side(row: &sqlx::postgres::PgRow, side: &str) -> Result<Option<Reading>, StoreError> {
    let id: Option<uuid::Uuid> = row.try_get(&*format!("{side}_id"))?;
    let score = row.try_get::<Option<f64>, _>(&*format!("{side}_score"))?.and_then(Score::clamped);
    let levels: Option<Vec<i16>> = row.try_get(&*format!("{side}_levels"))?;
    let levels = to_levels(&levels.unwrap_or_default());
    Ok(id.zip(score).map(|(id, score)| Reading { assessment: AssessmentId(id), score, levels }))
}

/// Levels as their column has them.
pub(super) fn to_levels(numbers: &[i16]) -> Levels {
    let mut levels = [None; Attribute::ALL.len()];
    for (level, number) in levels.iter_mut().zip(numbers) {
        *level =
            usize::try_from(*number).ok().and_then(|number| Level::ALL.get(number.checked_sub(1)?).copied());
    }
    levels
}

fn to_number(level: Option<Level>) -> i16 {
    level.map_or(0, |level| level as i16 + 1)
}
