//! Studies and their members.

use qponder_shared::study::{ChangeStudy, CreateStudy, Member, Study, StudyCounts, StudyStatus, StudyTask};
use qponder_shared::{StudyId, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::audit::{By, Change, note};
use super::images::rfc3339;
use super::{Store, StoreError};

/// Who looks at studies.
#[derive(Clone, Copy, Debug)]
pub struct Viewer {
    /// The user; `None` in local mode.
    pub user: Option<UserId>,
    /// Sees all studies, not only those of which they are a member.
    pub runs_studies: bool,
}

impl Viewer {
    /// Who works for the server itself.
    pub const SERVER: Viewer = Viewer { user: None, runs_studies: true };
}

/// What became of the wish for a study.
pub enum Made {
    /// There is another one.
    New(StudyId),
    /// The same request came before; this is what it made.
    Repeated(StudyId),
    /// The key came before with another request.
    KeyTaken,
}

/// What became of a change of a study.
pub enum Changed {
    /// This is how it is now.
    Study(Box<Study>),
    /// Somebody else changed it since; this is how it is.
    Conflict(Box<Study>),
    /// There is no such study.
    NoStudy,
}

macro_rules! select_study {
    ($rest:literal) => {
        concat!(
            "select studies.*, \
             item_counts.items, item_counts.needed, member_counts.members, \
             (select coalesce(sum(votes), 0)::bigint from study_rater_counts where study_id = studies.id) as votes, \
             exists (select from study_members where study_id = studies.id and user_id = $1) as is_member \
             from studies cross join lateral \
             (select count(*) as members from study_members where study_id = studies.id) member_counts \
             cross join lateral (select coalesce(sum(items), 0)::bigint as items, \
              coalesce(sum(items * (case when repeated then 2 else 1 end) * (case kind when 'rated' then overlap \
              when 'gold' then greatest(1, members) else 0 end)), 0)::bigint as needed \
              from study_item_counts where study_id = studies.id) item_counts ",
            $rest
        )
    };
}

impl Store {
    /// Makes a study. A key that came before with the same is the same study.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_study(
        &self,
        new: &CreateStudy,
        seed: i64,
        key: Option<&str>,
        by: &By,
    ) -> Result<Made, StoreError> {
        let id = StudyId::new();
        let mut transaction = self.pool.begin().await?;
        // Of two that are sent at once the second waits for the first here.
        let added = sqlx::query(
            "insert into studies (id, name, task, guidelines, overlap, seed, break_minutes, created_by, \
             idempotency_key) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (idempotency_key) do nothing",
        )
        .bind(id.0)
        .bind(&new.name)
        .bind(new.task.name())
        .bind(&new.guidelines)
        .bind(new.overlap.cast_signed())
        .bind(seed)
        .bind(new.break_minutes.cast_signed())
        .bind(&by.name)
        .bind(key)
        .execute(&mut *transaction)
        .await?;
        if added.rows_affected() == 0 {
            let earlier: Option<Uuid> = sqlx::query_scalar(
                "select id from studies where idempotency_key = $1 and name = $2 and task = $3 and created_by = $4",
            )
            .bind(key)
            .bind(&new.name)
            .bind(new.task.name())
            .bind(&by.name)
            .fetch_optional(&mut *transaction)
            .await?;
            return Ok(earlier.map_or(Made::KeyTaken, |id| Made::Repeated(StudyId(id))));
        }
        let change = Change { action: "study.create", object: Some(id.0), detail: &new.name };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(Made::New(id))
    }

    /// A study, as far as the viewer may see it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn study(&self, id: StudyId, viewer: Viewer) -> Result<Option<Study>, StoreError> {
        let row = sqlx::query(select_study!("where id = $2"))
            .bind(viewer.user.map(|user| user.0))
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await?;
        let study = row.map(|row| read(&row)).transpose()?;
        Ok(study.filter(|study| viewer.runs_studies || study.is_member))
    }

    /// One page of the studies that the viewer may see, newest first: `limit` at most, before `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn studies(
        &self,
        viewer: Viewer,
        before: Option<StudyId>,
        limit: usize,
    ) -> Result<Vec<Study>, StoreError> {
        let rows = sqlx::query(select_study!(
            "where id < $2 and ($3 or exists \
             (select from study_members where study_id = studies.id and user_id = $1)) \
             order by id desc limit $4"
        ))
        .bind(viewer.user.map(|user| user.0))
        .bind(before.map_or(Uuid::max(), |id| id.0))
        .bind(viewer.runs_studies)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Changes a study, if it is still as the caller saw it.
    ///
    /// # Errors
    /// When the database fails; then nothing is changed.
    pub async fn change_study(
        &self,
        id: StudyId,
        change: &ChangeStudy,
        viewer: Viewer,
        by: &By,
    ) -> Result<Changed, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let changed = sqlx::query(
            "update studies set name = coalesce($3, name), guidelines = coalesce($4, guidelines), \
             overlap = coalesce($5, overlap), break_minutes = coalesce($6, break_minutes), \
             status = coalesce($7, status), revision = revision + 1 where id = $1 and revision = $2",
        )
        .bind(id.0)
        .bind(change.revision)
        .bind(&change.name)
        .bind(&change.guidelines)
        .bind(change.overlap.map(u32::cast_signed))
        .bind(change.break_minutes.map(u32::cast_signed))
        .bind(change.status.map(StudyStatus::name))
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query(select_study!("where id = $2"))
            .bind(viewer.user.map(|user| user.0))
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(study) = row.map(|row| read(&row)).transpose()? else {
            return Ok(Changed::NoStudy);
        };
        if changed.rows_affected() == 0 {
            return Ok(Changed::Conflict(Box::new(study)));
        }
        let detail = match change.status {
            Some(status) => format!("{}: {}", study.name, status.name()),
            None => study.name.clone(),
        };
        note(&mut transaction, by, Change { action: "study.change", object: Some(id.0), detail: &detail })
            .await?;
        transaction.commit().await?;
        Ok(Changed::Study(Box::new(study)))
    }

    /// Who takes part in a study, in the order in which they came.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn members(&self, id: StudyId) -> Result<Vec<Member>, StoreError> {
        let rows = sqlx::query(
            "select users.id, users.name, users.email, \
             coalesce(counts.votes + counts.training, 0) as done, \
             (select created_at from votes where study_id = $1 and subject_id = users.id order by id desc limit 1) \
             as last_vote_at \
             from study_members members join users on users.id = user_id \
             left join study_rater_counts counts on counts.study_id = $1 and subject_id = users.id \
             where members.study_id = $1 order by added_at, users.id",
        )
        .bind(id.0)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let last: Option<OffsetDateTime> = row.try_get("last_vote_at")?;
                Ok(Member {
                    user: UserId(row.try_get("id")?),
                    name: row.try_get("name")?,
                    email: row.try_get("email")?,
                    done: row.try_get::<i64, _>("done")?.unsigned_abs(),
                    last_vote_at: last.map(rfc3339),
                })
            })
            .collect()
    }

    /// Adds a member; `false` when there is no such study or no such user.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_member(&self, study: StudyId, user: UserId, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let known = insert_member(&mut transaction, study, user, by).await?;
        transaction.commit().await?;
        Ok(known)
    }

    /// Takes a member out; their votes stay. Whether they were one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_member(&self, study: StudyId, user: UserId, by: &By) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let removed: Option<String> = sqlx::query_scalar(
            "delete from study_members using users where study_id = $1 and user_id = $2 and users.id = $2 \
             returning email",
        )
        .bind(study.0)
        .bind(user.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(email) = removed else {
            return Ok(false);
        };
        // What they will not rate now is free for others.
        sqlx::query("delete from assignments where study_id = $1 and subject_id = $2 and done_at is null")
            .bind(study.0)
            .bind(user.0)
            .execute(&mut *transaction)
            .await?;
        let change = Change { action: "study.remove_member", object: Some(study.0), detail: &email };
        note(&mut transaction, by, change).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Adds a member within the caller's transaction; `false` when there is no such study or user.
pub(super) async fn insert_member(
    connection: &mut PgConnection,
    study: StudyId,
    user: UserId,
    by: &By,
) -> Result<bool, StoreError> {
    let email: Option<String> = sqlx::query_scalar(
        "select email from users where id = $2 and exists (select from studies where id = $1)",
    )
    .bind(study.0)
    .bind(user.0)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(email) = email else {
        return Ok(false);
    };
    let added =
        sqlx::query("insert into study_members (study_id, user_id) values ($1, $2) on conflict do nothing")
            .bind(study.0)
            .bind(user.0)
            .execute(&mut *connection)
            .await?;
    if added.rows_affected() > 0 {
        let change = Change { action: "study.add_member", object: Some(study.0), detail: &email };
        note(connection, by, change).await?;
    }
    Ok(true)
}

fn read(row: &PgRow) -> Result<Study, StoreError> {
    let count = |name: &str| Ok::<_, StoreError>(row.try_get::<i64, _>(name)?.unsigned_abs());
    let small = |name: &str| Ok::<_, StoreError>(row.try_get::<i32, _>(name)?.unsigned_abs());
    let status: String = row.try_get("status")?;
    Ok(Study {
        id: StudyId(row.try_get("id")?),
        name: row.try_get("name")?,
        task: read_task(row.try_get("task")?)?,
        guidelines: row.try_get("guidelines")?,
        overlap: small("overlap")?,
        seed: row.try_get("seed")?,
        break_minutes: small("break_minutes")?,
        status: if status == "open" { StudyStatus::Open } else { StudyStatus::Closed },
        revision: row.try_get("revision")?,
        created_by: row.try_get("created_by")?,
        created_at: rfc3339(row.try_get("created_at")?),
        counts: StudyCounts {
            items: count("items")?,
            members: count("members")?,
            votes: count("votes")?,
            needed: count("needed")?,
        },
        is_member: row.try_get("is_member")?,
    })
}

/// The task that a column names.
pub(super) fn read_task(name: String) -> Result<StudyTask, StoreError> {
    StudyTask::of_name(&name).ok_or(StoreError::Unreadable { what: "studies.task", value: name })
}
