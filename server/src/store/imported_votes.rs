//! Votes that were given elsewhere, by people without accounts.

use qponder_shared::study::{ItemKind, Rating};
use qponder_shared::transfer::VoteLine;
use qponder_shared::{Attribute, ImageId, ItemId, Score, StudyId, SubjectId, VoteId};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::{Store, StoreError};

/// Rows of one statement.
const CHUNK: usize = 2000;

/// A vote of a table, whose images are here.
pub struct ImportedVote {
    /// The line.
    pub line: VoteLine,
    /// Its image, and for pairs the other one.
    pub images: (ImageId, Option<ImageId>),
}

impl Store {
    /// Adds votes to a study, with the items and people that it lacks. Of one file each line is added once,
    /// however often it is imported. Returns how many were added.
    ///
    /// `sha256` names the file. `progress` gets the number of votes that are done and says whether to go on;
    /// when it does not, none is added and the answer is `None`.
    ///
    /// # Errors
    /// When the database fails; then none is added.
    pub async fn import_votes(
        &self,
        study: StudyId,
        votes: &[ImportedVote],
        sha256: &str,
        by: &By,
        mut progress: impl AsyncFnMut(usize) -> Result<bool, StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut added = 0;
        for (chunk, votes) in votes.chunks(CHUNK).enumerate() {
            let subjects = subjects(&mut transaction, study, votes).await?;
            let items = items(&mut transaction, study, votes).await?;
            added += insert(&mut transaction, study, votes, &subjects, &items, sha256).await?;
            if !progress(chunk * CHUNK + votes.len()).await? {
                return Ok(None);
            }
        }
        if added > 0 {
            let detail = format!("{added} votes");
            let change = Change { action: "vote.import", object: Some(study.0), detail: &detail };
            note(&mut transaction, by, change).await?;
        }
        transaction.commit().await?;
        Ok(Some(added))
    }
}

/// The subject of each vote's person.
async fn subjects(
    connection: &mut PgConnection,
    study: StudyId,
    votes: &[ImportedVote],
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = votes.iter().map(|_| SubjectId::new().0).collect();
    let names: Vec<&str> = votes.iter().map(|vote| vote.line.person.as_str()).collect();
    let keys: Vec<&str> =
        votes.iter().map(|vote| vote.line.subject.as_deref().unwrap_or(&vote.line.person)).collect();
    sqlx::query(
        "insert into subjects (id, name, imported_into, imported_as) \
         select distinct on (key) id, name, $4::uuid, key from unnest($1::uuid[], $2::text[], $3::text[]) \
         as t(id, name, key) on conflict (imported_into, imported_as) where imported_into is not null do nothing",
    )
    .bind(&ids)
    .bind(&names)
    .bind(&keys)
    .bind(study.0)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query_scalar(
        "select subjects.id from unnest($1::text[]) with ordinality as t(key, place) \
         join subjects on imported_into = $2 and imported_as = key order by place",
    );
    Ok(rows.bind(&keys).bind(study.0).fetch_all(connection).await?)
}

/// The item of each vote.
async fn items(
    connection: &mut PgConnection,
    study: StudyId,
    votes: &[ImportedVote],
) -> Result<Vec<Uuid>, StoreError> {
    let ids: Vec<Uuid> = votes.iter().map(|_| ItemId::new().0).collect();
    let first: Vec<Uuid> = votes.iter().map(|vote| vote.images.0.0).collect();
    let other: Vec<Option<Uuid>> = votes.iter().map(|vote| vote.images.1.map(|id| id.0)).collect();
    let kinds: Vec<&str> = votes.iter().map(|vote| vote.line.kind.name()).collect();
    let expected: Vec<Option<f64>> = votes
        .iter()
        .map(|vote| vote.line.expected.filter(|_| vote.line.kind != ItemKind::Rated).map(Score::get))
        .collect();
    let repeated: Vec<bool> = votes.iter().map(|vote| vote.line.repeat > 0).collect();
    sqlx::query(
        "insert into study_items (id, study_id, image_id, other_image_id, kind, expected, repeated) \
         select id, $7::uuid, first, other, kind, expected, repeated from unnest($1::uuid[], $2::uuid[], \
         $3::uuid[], $4::text[], $5::float8[], $6::bool[]) as t(id, first, other, kind, expected, repeated) \
         on conflict do nothing",
    )
    .bind(&ids)
    .bind(&first)
    .bind(&other)
    .bind(&kinds)
    .bind(&expected)
    .bind(&repeated)
    .bind(study.0)
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query(
        "select study_items.id from unnest($1::uuid[], $2::uuid[]) with ordinality as t(first, other, place) \
         join study_items on study_id = $3 and image_id = first \
         and coalesce(other_image_id, '00000000-0000-0000-0000-000000000000') \
         = coalesce(other, '00000000-0000-0000-0000-000000000000') order by t.place",
    )
    .bind(&first)
    .bind(&other)
    .bind(study.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

async fn insert(
    connection: &mut PgConnection,
    study: StudyId,
    votes: &[ImportedVote],
    subjects: &[Uuid],
    items: &[Uuid],
    sha256: &str,
) -> Result<u64, StoreError> {
    let column = |of: &dyn Fn(&VoteLine) -> Option<String>| -> Vec<Option<String>> {
        votes.iter().map(|vote| of(&vote.line)).collect()
    };
    let scores: Vec<Option<f64>> =
        votes.iter().map(|vote| vote.line.rating.score().map(Score::get)).collect();
    let preferences: Vec<Option<i16>> = votes
        .iter()
        .map(|vote| match vote.line.rating {
            Rating::Preference { preference } => Some(preference.sign()),
            _ => None,
        })
        .collect();
    let skipped = column(&|line| match &line.rating {
        Rating::Skipped { reason } => Some(reason.clone()),
        _ => None,
    });
    // Arrays of arrays are no arrays in SQL: levels travel as text, such as {3,NULL,5,NULL,1,2}.
    let levels = column(&|line| match &line.rating {
        Rating::Levels { levels, .. } => {
            let of = |attribute| {
                let rated = levels.iter().find(|(rated, _)| *rated == attribute);
                rated.map_or("NULL".to_owned(), |(_, level)| (*level as i16 + 1).to_string())
            };
            Some(format!("{{{}}}", Attribute::ALL.map(of).join(",")))
        }
        _ => None,
    });
    // A line is named by its file and its place in it.
    let keys: Vec<String> =
        votes.iter().map(|vote| format!("import {}: {}", &sha256[..16], vote.line.place)).collect();
    let inserted = sqlx::query(
        "insert into votes (id, study_id, item_id, subject_id, repeat, score, levels, preference, skipped, \
         flag, blind, ms, key) \
         select id, $12::uuid, item, subject, repeat, score, levels::smallint[], preference, skipped, flag, \
         blind, ms, key from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int2[], $5::float8[], $6::text[], \
         $7::int2[], $8::text[], $9::text[], $10::bool[], $11::int8[], $13::text[]) \
         as t(id, item, subject, repeat, score, levels, preference, skipped, flag, blind, ms, key) \
         on conflict (subject_id, key) do nothing",
    )
    .bind(votes.iter().map(|_| VoteId::new().0).collect::<Vec<_>>())
    .bind(items)
    .bind(subjects)
    .bind(votes.iter().map(|vote| i16::from(vote.line.repeat)).collect::<Vec<_>>())
    .bind(scores)
    .bind(levels)
    .bind(preferences)
    .bind(skipped)
    .bind(column(&|line| line.flag.clone()))
    .bind(votes.iter().map(|vote| vote.line.blind).collect::<Vec<_>>())
    .bind(votes.iter().map(|vote| vote.line.ms).collect::<Vec<_>>())
    .bind(study.0)
    .bind(keys)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected())
}
