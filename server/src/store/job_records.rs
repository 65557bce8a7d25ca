//! What a job wrote down on its way: numbers and lines.

use qponder_shared::JobId;
use qponder_shared::job::{LogLevel, LogLine, MetricPart, Metrics};
use sqlx::Row;
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
            let part: String = row.try_get("part")?;
            metrics.push(Metrics {
                part: MetricPart::of_name(&part)
                    .ok_or(StoreError::Unreadable { what: "job_metrics.part", value: part })?,
                step: row.try_get::<i64, _>("step")?.unsigned_abs(),
                numbers: row.try_get::<Json<_>, _>("numbers")?.0,
            });
        }
        Ok((metrics, last))
    }

    /// The numbers of a job over all its steps, of `points` steps at most in each part: the last one of each of as
    /// many stretches of equal length. Also the last place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn metrics(&self, job: JobId, points: u32) -> Result<(Vec<Metrics>, u64), StoreError> {
        let rows = sqlx::query(
            "select distinct on (part, stretch) part, step, numbers, \
             (select coalesce(max(place), 0) from job_metrics where job_id = $1) as last from \
             (select part, step, numbers, step * $2 / \
              (1 + (select max(step) from job_metrics where job_id = $1)) as stretch \
              from job_metrics where job_id = $1) stretched order by part, stretch, step desc",
        )
        .bind(job.0)
        .bind(i64::from(points))
        .fetch_all(&self.pool)
        .await?;
        let mut last = 0;
        let mut metrics = Vec::with_capacity(rows.len());
        for row in &rows {
            last = row.try_get::<i64, _>("last")?.unsigned_abs();
            let part: String = row.try_get("part")?;
            metrics.push(Metrics {
                part: MetricPart::of_name(&part)
                    .ok_or(StoreError::Unreadable { what: "job_metrics.part", value: part })?,
                step: row.try_get::<i64, _>("step")?.unsigned_abs(),
                numbers: row.try_get::<Json<_>, _>("numbers")?.0,
            });
        }
        Ok((metrics, last))
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
}
