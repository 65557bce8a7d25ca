//! Versions of annotations, and the words of reviews. Both are added and never changed; where a thread
//! stands follows from the last of them.

use qponder_shared::grammar::{self, Response};
use qponder_shared::study::{CreateAnnotation, CreateReview, Thread, ThreadState, Verdict, disagreement};
use qponder_shared::{AnnotationId, AssessmentId, ItemId, ReviewId, SubjectId, ThreadId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::audit::{By, Change, Via, note};
use super::{Store, StoreError, subjects, threads};

/// What became of a version or a review.
pub enum Written {
    /// This is how the thread is now.
    Thread(Box<Thread>),
    /// Somebody wrote another version since.
    Conflict(Box<Thread>),
    /// The thread does not take it in its state; why.
    Refused(&'static str),
    /// It is their own work.
    OwnWork,
    /// There is no such thing, or it is not theirs.
    NotFound,
}

impl Store {
    /// Adds a version to one's annotation of an item, or begins it. The same words sent again, because the
    /// answer got lost, are the same version.
    ///
    /// # Errors
    /// When the database fails; then nothing is added.
    pub async fn annotate(
        &self,
        item: ItemId,
        new: &CreateAnnotation,
        response: &Response,
        by: &By,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::of(by);
        // Who has seen what they correct has voted before. The row is locked: of two tabs the second waits.
        let row = sqlx::query(
            "select items.study_id, items.image_id from reveals join study_items items on items.id = item_id \
             where item_id = $1 and subject_id = $2 for update of reveals",
        )
        .bind(item.0)
        .bind(subject.0)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            return Ok(Written::NotFound);
        };
        let image: Uuid = row.try_get("image_id")?;
        let earlier = threads::own(&mut transaction, item, subject).await?;
        let base = earlier.as_ref().map_or(0, |thread| thread.version);
        if let Some(earlier) = &earlier {
            if base == new.base + 1
                && is_newest(&mut transaction, earlier.id, base, &new.text, subject).await?
            {
                let thread = threads::read_whole(&mut transaction, earlier.id, subject).await?;
                return Ok(written(thread));
            }
            if base != new.base {
                return conflict(&mut transaction, earlier.id, subject).await;
            }
            if earlier.state == ThreadState::Accepted {
                return Ok(Written::Refused("it is accepted; ask a reviewer to send it back"));
            }
        } else if new.base != 0 {
            return Ok(Written::NotFound);
        }
        let source = source(&mut transaction, new.source, image).await?;
        if new.source.is_some() && source.is_none() {
            return Ok(Written::NotFound);
        }
        let apart = source.and_then(|text| disagreement(response, &grammar::parse(&text)));
        let id = earlier.as_ref().map_or_else(ThreadId::new, |thread| thread.id);
        let row = NewVersion { thread: id, version: base + 1, text: &new.text };
        if earlier.is_some() {
            sqlx::query(
                "update annotation_threads set state = 'submitted', version = $2, disagreement = $3, \
                 assessment_id = coalesce($4, assessment_id), updated_at = now() where id = $1",
            )
            .bind(id.0)
            .bind(row.version.cast_signed())
            .bind(apart)
            .bind(new.source.map(|source| source.0))
            .execute(&mut *transaction)
            .await?;
        } else {
            sqlx::query(
                "insert into annotation_threads \
                 (id, study_id, item_id, image_id, subject_id, assessment_id, state, version, disagreement, confidence) \
                 select $1, study_id, $2, image_id, $3, $4, 'submitted', 1, $5, \
                 (select (select max(p) from unnest(level_probabilities) as p) from assessments \
                  where image_id = study_items.image_id and level_probabilities is not null order by id desc limit 1) \
                 from study_items where id = $2",
            )
            .bind(id.0)
            .bind(item.0)
            .bind(subject.0)
            .bind(new.source.map(|source| source.0))
            .bind(apart)
            .execute(&mut *transaction)
            .await?;
        }
        row.insert(&mut transaction, subject).await?;
        sqlx::query("delete from drafts where item_id = $1 and subject_id = $2")
            .bind(item.0)
            .bind(subject.0)
            .execute(&mut *transaction)
            .await?;
        let detail = format!("version {}", base + 1);
        let change = Change { action: "annotation.add", object: Some(id.0), detail: &detail };
        note(&mut transaction, by, change).await?;
        let thread = threads::read_whole(&mut transaction, id, subject).await?;
        transaction.commit().await?;
        Ok(written(thread))
    }

    /// Adds a reviewer's word to a thread, and moves it accordingly. The same again is the same word.
    ///
    /// # Errors
    /// When the database fails; then nothing is added.
    pub async fn review(&self, id: ThreadId, review: &CreateReview, by: &By) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::ensure(&mut transaction, by).await?;
        let Some(row) = lock(&mut transaction, id).await? else {
            return Ok(Written::NotFound);
        };
        if is_last_verdict(&mut transaction, id, review, subject).await? {
            return Ok(written(threads::read_whole(&mut transaction, id, subject).await?));
        }
        let version = row.try_get::<i32, _>("version")?.unsigned_abs();
        let state = ThreadState::of_name(row.try_get("state")?);
        // In local mode one person is everybody.
        let is_own = row.try_get::<Uuid, _>("subject_id")? == subject.0
            || row.try_get::<Uuid, _>("last_author")? == subject.0 && review.verdict == Verdict::Accepted;
        if version != review.version {
            return conflict(&mut transaction, id, subject).await;
        }
        if state == Some(ThreadState::Accepted) && review.verdict != Verdict::Returned {
            return Ok(Written::Refused("it is accepted already; it can only be sent back"));
        }
        if state == Some(ThreadState::Returned) && review.verdict == Verdict::Returned {
            return Ok(Written::Refused("it was sent back already, and the annotator has not answered yet"));
        }
        if is_own && by.via != Via::Local {
            return Ok(Written::OwnWork);
        }
        insert_review(&mut transaction, id, version, review.verdict, &review.comment, subject).await?;
        let (next, version) = match (review.verdict, &review.text) {
            (Verdict::Fixed, Some(text)) => {
                let fixed = NewVersion { thread: id, version: version + 1, text };
                fixed.insert(&mut transaction, subject).await?;
                (ThreadState::Accepted, version + 1)
            }
            (Verdict::Accepted | Verdict::Fixed, _) => (ThreadState::Accepted, version),
            (Verdict::Returned | Verdict::Comment, _) => (ThreadState::Returned, version),
        };
        sqlx::query(
            "update annotation_threads set state = $2, version = $3, updated_at = now() where id = $1",
        )
        .bind(id.0)
        .bind(next.name())
        .bind(version.cast_signed())
        .execute(&mut *transaction)
        .await?;
        let change =
            Change { action: "annotation.review", object: Some(id.0), detail: review.verdict.name() };
        note(&mut transaction, by, change).await?;
        let thread = threads::read_whole(&mut transaction, id, subject).await?;
        transaction.commit().await?;
        Ok(written(thread))
    }

    /// Adds a comment, of the author or, with `may_all`, of anybody. The same twice in a row is one comment.
    ///
    /// # Errors
    /// When the database fails; then nothing is added.
    pub async fn comment(
        &self,
        id: ThreadId,
        comment: &str,
        may_all: bool,
        by: &By,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let subject = subjects::ensure(&mut transaction, by).await?;
        let Some(row) = lock(&mut transaction, id).await? else {
            return Ok(Written::NotFound);
        };
        if !may_all && row.try_get::<Uuid, _>("subject_id")? != subject.0 {
            return Ok(Written::NotFound);
        }
        let version = row.try_get::<i32, _>("version")?.unsigned_abs();
        if is_last_comment(&mut transaction, id, version, comment, subject).await? {
            return Ok(written(threads::read_whole(&mut transaction, id, subject).await?));
        }
        insert_review(&mut transaction, id, version, Verdict::Comment, comment, subject).await?;
        let change = Change { action: "annotation.comment", object: Some(id.0), detail: "" };
        note(&mut transaction, by, change).await?;
        let thread = threads::read_whole(&mut transaction, id, subject).await?;
        transaction.commit().await?;
        Ok(written(thread))
    }
}

struct NewVersion<'a> {
    thread: ThreadId,
    version: u32,
    text: &'a str,
}

impl NewVersion<'_> {
    async fn insert(&self, connection: &mut PgConnection, subject: SubjectId) -> Result<(), StoreError> {
        sqlx::query(
            "insert into annotations (id, thread_id, version, subject_id, text) values ($1, $2, $3, $4, $5)",
        )
        .bind(AnnotationId::new().0)
        .bind(self.thread.0)
        .bind(self.version.cast_signed())
        .bind(subject.0)
        .bind(self.text)
        .execute(connection)
        .await?;
        Ok(())
    }
}

async fn insert_review(
    connection: &mut PgConnection,
    thread: ThreadId,
    version: u32,
    verdict: Verdict,
    comment: &str,
    subject: SubjectId,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into reviews (id, thread_id, version, subject_id, verdict, comment) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(ReviewId::new().0)
    .bind(thread.0)
    .bind(version.cast_signed())
    .bind(subject.0)
    .bind(verdict.name())
    .bind(comment)
    .execute(connection)
    .await?;
    Ok(())
}

/// A thread's row, and who wrote its newest version; nobody else writes to it until the transaction ends.
async fn lock(connection: &mut PgConnection, id: ThreadId) -> Result<Option<PgRow>, StoreError> {
    let row = sqlx::query(
        "select *, (select annotations.subject_id from annotations where thread_id = $1 \
         order by version desc limit 1) as last_author from annotation_threads where id = $1 for update",
    )
    .bind(id.0)
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// Whether somebody's version is there with just these words.
async fn is_newest(
    connection: &mut PgConnection,
    thread: ThreadId,
    version: u32,
    text: &str,
    subject: SubjectId,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "select exists (select from annotations \
         where thread_id = $1 and version = $2 and text = $3 and subject_id = $4)",
    )
    .bind(thread.0)
    .bind(version.cast_signed())
    .bind(text)
    .bind(subject.0)
    .fetch_one(connection)
    .await?)
}

/// Whether the last verdict on a thread is this very one.
async fn is_last_verdict(
    connection: &mut PgConnection,
    thread: ThreadId,
    review: &CreateReview,
    subject: SubjectId,
) -> Result<bool, StoreError> {
    let is_same: Option<bool> = sqlx::query_scalar(
        "select version = $2 and subject_id = $3 and verdict = $4 and comment = $5 \
         and ($6::text is null or exists (select from annotations \
         where thread_id = $1 and version = $2 + 1 and text = $6)) \
         from reviews where thread_id = $1 and verdict <> 'comment' order by id desc limit 1",
    )
    .bind(thread.0)
    .bind(review.version.cast_signed())
    .bind(subject.0)
    .bind(review.verdict.name())
    .bind(&review.comment)
    .bind(review.text.as_deref())
    .fetch_optional(connection)
    .await?;
    Ok(is_same.unwrap_or(false))
}

/// Whether the last word on a thread is this very comment.
async fn is_last_comment(
    connection: &mut PgConnection,
    thread: ThreadId,
    version: u32,
    comment: &str,
    subject: SubjectId,
) -> Result<bool, StoreError> {
    let is_same: Option<bool> = sqlx::query_scalar(
        "select version = $2 and subject_id = $3 and verdict = 'comment' and comment = $4 \
         from reviews where thread_id = $1 order by id desc limit 1",
    )
    .bind(thread.0)
    .bind(version.cast_signed())
    .bind(subject.0)
    .bind(comment)
    .fetch_optional(connection)
    .await?;
    Ok(is_same.unwrap_or(false))
}

fn written(thread: Option<Thread>) -> Written {
    thread.map_or(Written::NotFound, |thread| Written::Thread(Box::new(thread)))
}

/// The text of an assessment of an image.
async fn source(
    connection: &mut PgConnection,
    id: Option<AssessmentId>,
    image: Uuid,
) -> Result<Option<String>, StoreError> {
    let Some(id) = id else { return Ok(None) };
    let text = sqlx::query_scalar("select text from assessments where id = $1 and image_id = $2")
        .bind(id.0)
        .bind(image)
        .fetch_optional(connection)
        .await?;
    Ok(text)
}

async fn conflict(
    connection: &mut PgConnection,
    id: ThreadId,
    subject: SubjectId,
) -> Result<Written, StoreError> {
    let thread = threads::read_whole(connection, id, subject).await?;
    Ok(thread.map_or(Written::NotFound, |thread| Written::Conflict(Box::new(thread))))
}
