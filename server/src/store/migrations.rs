//! The schema's history, compiled in: a binary always carries the schema that it needs.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Version, name and text of every migration, oldest first. One that has landed is never edited.
const MIGRATIONS: [(i64, &str, &str); 12] = [
    (1, "images and assessments", include_str!("../../../migrations/0001_images_and_assessments.sql")),
    (2, "accounts", include_str!("../../../migrations/0002_accounts.sql")),
    (3, "studies", include_str!("../../../migrations/0003_studies.sql")),
    (4, "compare", include_str!("../../../migrations/0004_compare.sql")),
    (5, "administration", include_str!("../../../migrations/0005_administration.sql")),
    (6, "study keys", include_str!("../../../migrations/0006_study_keys.sql")),
    (7, "transfers", include_str!("../../../migrations/0007_transfers.sql")),
    (8, "counts", include_str!("../../../migrations/0008_counts.sql")),
    (9, "jobs", include_str!("../../../migrations/0009_jobs.sql")),
    (10, "models", include_str!("../../../migrations/0010_models.sql")),
    (11, "checkpoints", include_str!("../../../migrations/0011_checkpoints.sql")),
    (12, "batches", include_str!("../../../migrations/0012_batches.sql")),
];

/// All migrations in order. A schema with newer ones is taken too: each version only adds to the one before, so the
/// program before it goes on working (expand, then contract).
pub fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .into_iter()
        .map(|(version, name, sql)| {
            Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.set_ignore_missing(true);
    migrator
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn every_migration_file_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let files = std::fs::read_dir(folder).expect("the folder exists").count();
        assert_eq!(files, MIGRATIONS.len());
    }
}
