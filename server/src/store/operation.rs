//! What the database says of itself, for administrators.

use std::collections::{BTreeMap, BTreeSet};

use qponder_shared::operation::TableSize;
use sqlx::Row;

use super::objects::Kind;
use super::{Store, StoreError};

/// How the database is.
pub struct DatabaseState {
    /// Its version.
    pub version: String,
    /// Bytes of all of it.
    pub bytes: u64,
    /// Connections of the pool, and those of them that nobody uses.
    pub connections: (u32, usize),
    /// The newest migration.
    pub schema: i64,
}

/// Assessments of one model that failed with one message lately.
pub struct Failures {
    /// The model.
    pub model: String,
    /// Why.
    pub error: String,
    /// How many.
    pub count: u64,
}

impl Store {
    /// How the database is; the way to it is measured by whoever asks.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn database_state(&self) -> Result<DatabaseState, StoreError> {
        let row = sqlx::query(
            "select current_setting('server_version') as version, pg_database_size(current_database()) as bytes, \
             (select max(version) from _sqlx_migrations where success) as schema",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DatabaseState {
            version: row.try_get("version")?,
            bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
            connections: (self.pool.size(), self.pool.num_idle()),
            schema: row.try_get::<Option<i64>, _>("schema")?.unwrap_or_default(),
        })
    }

    /// Tables with their indexes, the largest first. Rows are Postgres' estimate, so that it costs nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let rows = sqlx::query(
            "select relname::text as name, pg_total_relation_size(oid) as bytes, \
             case when reltuples >= 0 then reltuples::bigint end as rows from pg_class \
             where relkind = 'r' and relnamespace = 'public'::regnamespace order by bytes desc, name",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(TableSize {
                    name: row.try_get("name")?,
                    bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
                    rows: row.try_get::<Option<i64>, _>("rows")?.map(i64::unsigned_abs),
                })
            })
            .collect()
    }

    /// Why assessments failed in the last day, the most frequent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recent_failures(&self) -> Result<Vec<Failures>, StoreError> {
        let rows = sqlx::query(
            "select model, left(coalesce(error, 'no reason was kept'), 200) as error, count(*) as count \
             from assessments where status = 'failed' and finished_at > now() - interval '1 day' \
             group by 1, 2 order by 3 desc limit 20",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Failures {
                    model: row.try_get("model")?,
                    error: row.try_get("error")?,
                    count: row.try_get::<i64, _>("count")?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// How many transfers are open, and how many failed in the last day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn transfer_counts(&self) -> Result<(u64, u64), StoreError> {
        let (open, failed): (i64, i64) = sqlx::query_as(
            "select (select count(*) from transfers where state in ('queued', 'running')), \
             (select count(*) from (select state, finished_at from transfers order by id desc limit 1000) latest \
             where state = 'failed' and finished_at > now() - interval '1 day')",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((open.unsigned_abs(), failed.unsigned_abs()))
    }

    /// Which of these files are named by a row: images by their hash, exports by their transfer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_files(&self, names: &[String]) -> Result<BTreeSet<String>, StoreError> {
        let known: Vec<String> = sqlx::query_scalar(
            "select sha256 from images where sha256 = any($1) \
             union all select sha256 from artifacts where sha256 = any($1) \
             union all select id::text from transfers where available and id::text = any($1)",
        )
        .bind(names)
        .fetch_all(&self.pool)
        .await?;
        Ok(known.into_iter().collect())
    }

    /// How many rows the tables have that people ask for first. Reads all of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn table_rows(&self) -> Result<BTreeMap<String, i64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "select 'images', count(*) from images union all select 'assessments', count(*) from assessments \
             union all select 'votes', count(*) from votes union all select 'annotations', count(*) from annotations \
             union all select 'datasets', count(*) from datasets union all select 'jobs', count(*) from jobs \
             union all select 'models', count(*) from models",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Kind and hash of every file that a row names and that cannot be made again, but for exports.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_objects(&self) -> Result<Vec<(Kind, String)>, StoreError> {
        let named: Vec<(bool, String)> = sqlx::query_as(
            "select false, sha256 from images union select true, sha256 from artifacts \
             join jobs on jobs.id = job_id and state = 'done'",
        )
        .fetch_all(&self.pool)
        .await?;
        let kind = |is_artifact: bool| if is_artifact { Kind::Artifact } else { Kind::Original };
        Ok(named.into_iter().map(|(is_artifact, hash)| (kind(is_artifact), hash)).collect())
    }
}
