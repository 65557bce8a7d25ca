//! What a job wrote down on its way: numbers and lines.

use qponder_shared::job::{Completion, Completions, LogLevel, LogLine, MetricPart, Metrics};
use qponder_shared::{ImageId, JobId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use super::images::rfc3339;
use super::{Store, StoreError};

impl Store {
    /// The numbers of a job that came after a place, in the order in which they came, `limit` steps at most; and the
    /// last place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metrics_after(
        &self,
        job: JobId,
        place: u64,
        limit: i64,
    ) -> Result<(Vec<Metrics>, u64), StoreError> {
        let rows = sqlx::query(
            "select part, step, numbers, place from job_metrics where job_id = $1 and place > $2 order by place limit $3",
        )
        .bind(job.0)
        .bind(place.cast_signed())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let mut last = place;
        let mut metrics = Vec::with_capacity(rows.len());
        for row in &rows {
            last = row.try_get::<i64, _>("place")?.unsigned_abs();
            metrics.push(read_metrics(row)?);
        }
        Ok((metrics, last))
    }

    /// The numbers of a job over all its steps, of `points` steps at most in each part: the last one of each of as
    /// many stretches of equal length. Also the last place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metrics(&self, job: JobId, points: u32) -> Result<(Vec<Metrics>, u64), StoreError> {
        // First, so that nothing lies between it and the numbers: what comes meanwhile is told twice, not never.
        let last: Option<i64> = sqlx::query_scalar("select max(place) from job_metrics where job_id = $1")
            .bind(job.0)
            .fetch_one(&self.pool)
            .await?;
        // One look into the index for each stretch, however many steps there are.
        let rows = sqlx::query(
            "select parts.part, picked.step, picked.numbers from unnest($3::text[]) as parts(part) \
             cross join lateral (select max(step) as step from job_metrics \
              where job_id = $1 and part = parts.part) last \
             cross join lateral generate_series(0, $2 - 1) as stretch \
             cross join lateral (select step, numbers from job_metrics where job_id = $1 and part = parts.part \
              and step > case stretch when 0 then -1 else last.step * stretch / $2 end \
              and step <= last.step * (stretch + 1) / $2 order by step desc limit 1) picked \
             order by parts.part, picked.step",
        )
        .bind(job.0)
        .bind(i64::from(points))
        .bind(MetricPart::ALL.iter().map(|part| part.name()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        let metrics = rows.iter().map(read_metrics).collect::<Result<_, _>>()?;
        Ok((metrics, last.unwrap_or_default().unsigned_abs()))
    }

    /// Lines of a job's log after a place, `limit` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn log_after(&self, job: JobId, place: u64, limit: i64) -> Result<Vec<LogLine>, StoreError> {
        let rows =
            sqlx::query("select * from job_logs where job_id = $1 and place > $2 order by place limit $3")
                .bind(job.0)
                .bind(place.cast_signed())
                .bind(limit)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                let level: String = row.try_get("level")?;
                Ok(LogLine {
                    place: row.try_get::<i64, _>("place")?.unsigned_abs(),
                    attempt: row.try_get::<i32, _>("attempt")?.unsigned_abs(),
                    level: LogLevel::of_name(&level)
                        .ok_or(StoreError::Unreadable { what: "job_logs.level", value: level })?,
                    text: row.try_get("text")?,
                    at: rfc3339(row.try_get("at")?),
                })
            })
            .collect()
    }

    /// Sampled answers of a step, or of the newest one before it that has some; `None` where no step has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn completions(
        &self,
        job: JobId,
        step: Option<u64>,
    ) -> Result<Option<Completions>, StoreError> {
        let (first, last, chosen): (Option<i64>, Option<i64>, Option<i64>) = sqlx::query_as(
            "select min(step), max(step), max(step) filter (where step <= coalesce($2, step)) \
             from job_completions where job_id = $1",
        )
        .bind(job.0)
        .bind(step.map(u64::cast_signed))
        .fetch_one(&self.pool)
        .await?;
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        let chosen = chosen.unwrap_or(first);
        let rows =
            sqlx::query("select * from job_completions where job_id = $1 and step = $2 order by place")
                .bind(job.0)
                .bind(chosen)
                .fetch_all(&self.pool)
                .await?;
        let read = |row: &PgRow| {
            Ok::<_, StoreError>(Completion {
                image: row.try_get::<Option<uuid::Uuid>, _>("image_id")?.map(ImageId),
                label: row.try_get("label")?,
                text: row.try_get("text")?,
                reward: row.try_get("reward")?,
                advantage: row.try_get("advantage")?,
                rewards: row.try_get::<Json<_>, _>("rewards")?.0,
            })
        };
        Ok(Some(Completions {
            step: chosen.unsigned_abs(),
            first_step: first.unsigned_abs(),
            last_step: last.unsigned_abs(),
            items: rows.iter().map(read).collect::<Result<_, _>>()?,
        }))
    }
}

fn read_metrics(row: &PgRow) -> Result<Metrics, StoreError> {
    let part: String = row.try_get("part")?;
    Ok(Metrics {
        part: MetricPart::of_name(&part)
            .ok_or(StoreError::Unreadable { what: "job_metrics.part", value: part })?,
        step: row.try_get::<i64, _>("step")?.unsigned_abs(),
        numbers: row.try_get::<Json<_>, _>("numbers")?.0,
    })
}
