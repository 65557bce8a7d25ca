//! Postgres rows and object bytes: one file a noun. All SQL of the server lives here.

pub mod acceptance;
pub mod annotations;
pub mod answers;
pub mod assessments;
pub mod audit;
pub mod batches;
pub mod cursor;
pub mod datasets;
pub mod drafts;
pub mod images;
pub mod imported_votes;
pub mod invites;
pub mod job_checkpoints;
pub mod job_facts;
pub mod job_records;
pub mod jobs;
pub mod labels;
pub mod leases;
pub mod lookup;
mod migrations;
pub mod models;
pub mod objects;
pub mod operation;
pub mod pairs;
#[cfg(test)]
mod queue_model;
#[cfg(test)]
mod queue_speed;
pub mod readings;
pub mod sessions;
pub mod statistics;
pub mod studies;
pub mod study_items;
pub mod subjects;
pub mod tasks;
pub mod threads;
pub mod tokens;
pub mod transfers;
pub mod users;
pub mod vote_lines;
pub mod votes;

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

/// What goes wrong between the server and its rows.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("database schema: {0}")]
    Migrate(MigrateError),
    /// `--database-url` names something else.
    #[error("the database URL must begin with postgres://")]
    NotPostgres,
    /// A row holds what this version cannot read.
    #[error("the row {what} holds {value:?}, which this version cannot read")]
    Unreadable {
        /// Table and column.
        what: &'static str,
        /// What stands there.
        value: String,
    },
    /// Another server works on this database.
    #[error("another qponder server is using this database; stop it, or give this one its own")]
    InUse,
}

// Not `#[from]`: these messages hold their causes' words already, and a chain would say them again.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(error)
    }
}

/// The database.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
}

/// Holds the database for one server: two would answer the same queue twice.
///
/// It is a session lock, so it ends with the connection, however the server ends.
pub struct Claim {
    _connection: PgConnection,
}

/// Key of the advisory lock that a server holds: "qponder" in ASCII.
const SERVER_LOCK: i64 = 0x71_706f_6e64_6572;

/// How long to wait for a connection, when starting and when the pool is busy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

impl Store {
    /// Connects, claims the database and brings its schema up to date.
    ///
    /// # Errors
    /// When the database cannot be reached or written, or another server claims it.
    pub async fn open(options: PgConnectOptions) -> Result<(Self, Claim), StoreError> {
        let options = options.application_name("qponder").disable_statement_logging();
        let mut connection = PgConnection::connect_with(&options).await?;
        let claimed: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(SERVER_LOCK)
            .fetch_one(&mut connection)
            .await?;
        if !claimed {
            return Err(StoreError::InUse);
        }
        migrations::migrator().run(&mut connection).await?;
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options);
        Ok((Self { pool }, Claim { _connection: connection }))
    }

    /// Connects beside a server that may be running: claims nothing, and leaves the schema as it is.
    pub fn beside(options: PgConnectOptions, connections: u32) -> Self {
        let options = options.application_name("qponder").disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(CONNECT_TIMEOUT);
        Self { pool: pool.connect_lazy_with(options) }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Reads the options of `--database-url`.
///
/// # Errors
/// When the text is no Postgres URL.
pub fn parse_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::NotPostgres);
    }
    Ok(PgConnectOptions::from_str(url)?)
}

/// Makes the database `name` on a cluster if it is not there yet.
///
/// # Errors
/// When the cluster cannot be reached.
pub async fn create_database(options: &PgConnectOptions, name: &'static str) -> Result<(), StoreError> {
    let mut connection = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        // A database's name cannot be bound; this one is a constant of ours.
        let statement = sqlx::AssertSqlSafe(format!("create database \"{name}\""));
        sqlx::query(statement).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}
