//! Threads of annotations: where each stands, lists of them, and all of one.

use qponder_shared::study::{Annotation, QueueSort, Review, Thread, ThreadState, ThreadSummary, Verdict};
use qponder_shared::{AnnotationId, ImageId, ItemId, ReviewId, StudyId, SubjectId, ThreadId, grammar};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::assessments;
use super::audit::By;
use super::cursor::Cursor;
use super::images::rfc3339;
use super::{Store, StoreError, subjects};

/// The position after a thread.
pub fn after(order: QueueSort, thread: &ThreadSummary) -> Cursor<QueueSort> {
    let key = match order {
        QueueSort::Disagreement => thread.disagreement.unwrap_or(-1.0),
        QueueSort::Confidence => thread.confidence.unwrap_or(2.0),
        QueueSort::Age => 0.0,
    };
    Cursor { order, key, id: thread.id.0 }
}

/// `$1` is the subject that looks.
macro_rules! select_thread {
    ($($rest:literal),+) => {
        concat!(
            "select threads.*, studies.name as study_name, images.name as image_name, \
             subjects.name as author, threads.subject_id = $1 as is_own \
             from annotation_threads threads join studies on studies.id = threads.study_id \
             join images on images.id = threads.image_id join subjects on subjects.id = threads.subject_id ",
            $($rest),+
        )
    };
}

/// A page of the review queue. `$2` is the state, `$3` and `$4` are the position before, `$5` is how many.
macro_rules! select_queue {
    ($study:literal, $rest:literal) => {
        select_thread!("where state = $2 ", $study, $rest)
    };
}

macro_rules! by_disagreement {
    ($study:literal) => {
        select_queue!(
            $study,
            "and (coalesce(disagreement, -1), threads.id) < ($3, $4) \
             order by coalesce(disagreement, -1) desc, threads.id desc limit $5"
        )
    };
}

macro_rules! by_confidence {
    ($study:literal) => {
        select_queue!(
            $study,
            "and (coalesce(confidence, 2), threads.id) > ($3, $4) \
             order by coalesce(confidence, 2), threads.id limit $5"
        )
    };
}

macro_rules! by_age {
    ($study:literal) => {
        select_queue!($study, "and $3::float8 is not null and threads.id > $4 order by threads.id limit $5")
    };
}

impl Store {
    /// One page of the threads in some state, of one study where one is named, `limit` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(
        &self,
        state: ThreadState,
        study: Option<StudyId>,
        sort: QueueSort,
        cursor: Option<Cursor<QueueSort>>,
        limit: usize,
        by: &By,
    ) -> Result<Vec<ThreadSummary>, StoreError> {
        let start = match sort {
            QueueSort::Disagreement => (f64::INFINITY, Uuid::max()),
            QueueSort::Confidence | QueueSort::Age => (f64::NEG_INFINITY, Uuid::nil()),
        };
        let (key, id) = cursor.map_or(start, |cursor| (cursor.key, cursor.id));
        // Two statements for each order: one that served both, with and without a study, could not count on
        // either's index.
        let statement = match (sort, study.is_some()) {
            (QueueSort::Disagreement, false) => by_disagreement!(""),
            (QueueSort::Disagreement, true) => by_disagreement!("and study_id = $6 "),
            (QueueSort::Confidence, false) => by_confidence!(""),
            (QueueSort::Confidence, true) => by_confidence!("and study_id = $6 "),
            (QueueSort::Age, false) => by_age!(""),
            (QueueSort::Age, true) => by_age!("and study_id = $6 "),
        };
        let mut query = sqlx::query(statement)
            .bind(subjects::of(by).0)
            .bind(state.name())
            .bind(key)
            .bind(id)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        if let Some(study) = study {
            query = query.bind(study.0);
        }
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(read).collect()
    }

    /// All of a thread.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn thread(&self, id: ThreadId, by: &By) -> Result<Option<Thread>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        read_whole(&mut connection, id, subjects::of(by)).await
    }
}

/// All of a thread, as a subject sees it.
pub(super) async fn read_whole(
    connection: &mut PgConnection,
    id: ThreadId,
    subject: SubjectId,
) -> Result<Option<Thread>, StoreError> {
    let row = sqlx::query(select_thread!("where threads.id = $2"))
        .bind(subject.0)
        .bind(id.0)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let source = match row.try_get::<Option<Uuid>, _>("assessment_id")? {
        None => None,
        Some(source) => {
            let source = sqlx::query("select * from assessments where id = $1")
                .bind(source)
                .fetch_optional(&mut *connection)
                .await?;
            source.map(|row| assessments::read(&row)).transpose()?
        }
    };
    let versions = sqlx::query(
        "select annotations.*, subjects.name as author from annotations \
         join subjects on subjects.id = subject_id where thread_id = $1 order by version",
    )
    .bind(id.0)
    .fetch_all(&mut *connection)
    .await?;
    let reviews = sqlx::query(
        "select reviews.*, subjects.name as author from reviews \
         join subjects on subjects.id = subject_id where thread_id = $1 order by reviews.id",
    )
    .bind(id.0)
    .fetch_all(connection)
    .await?;
    Ok(Some(Thread {
        summary: read(&row)?,
        source,
        versions: versions.iter().map(read_version).collect::<Result<_, _>>()?,
        reviews: reviews.iter().map(read_review).collect::<Result<_, _>>()?,
    }))
}

/// Somebody's own thread on an item.
pub(super) async fn own(
    connection: &mut PgConnection,
    item: ItemId,
    subject: SubjectId,
) -> Result<Option<ThreadSummary>, StoreError> {
    let row = sqlx::query(select_thread!("where threads.item_id = $2 and threads.subject_id = $1"))
        .bind(subject.0)
        .bind(item.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// What came back to somebody in a study, longest waiting first.
pub(super) async fn returned_to(
    connection: &mut PgConnection,
    study: StudyId,
    subject: SubjectId,
    limit: i64,
) -> Result<Vec<ThreadSummary>, StoreError> {
    let rows = sqlx::query(select_thread!(
        "where threads.study_id = $2 and threads.subject_id = $1 and state = 'returned' \
         order by threads.updated_at limit $3"
    ))
    .bind(subject.0)
    .bind(study.0)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<ThreadSummary, StoreError> {
    let state: String = row.try_get("state")?;
    Ok(ThreadSummary {
        id: ThreadId(row.try_get("id")?),
        study: StudyId(row.try_get("study_id")?),
        study_name: row.try_get("study_name")?,
        item: ItemId(row.try_get("item_id")?),
        image: ImageId(row.try_get("image_id")?),
        image_name: row.try_get("image_name")?,
        author: row.try_get("author")?,
        is_own: row.try_get("is_own")?,
        state: ThreadState::of_name(&state)
            .ok_or(StoreError::Unreadable { what: "annotation_threads.state", value: state })?,
        version: row.try_get::<i32, _>("version")?.unsigned_abs(),
        disagreement: row.try_get("disagreement")?,
        confidence: row.try_get("confidence")?,
        updated_at: rfc3339(row.try_get("updated_at")?),
    })
}

fn read_version(row: &PgRow) -> Result<Annotation, StoreError> {
    let text: String = row.try_get("text")?;
    Ok(Annotation {
        id: AnnotationId(row.try_get("id")?),
        version: row.try_get::<i32, _>("version")?.unsigned_abs(),
        author: row.try_get("author")?,
        response: grammar::parse(&text),
        text,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}

fn read_review(row: &PgRow) -> Result<Review, StoreError> {
    let verdict: String = row.try_get("verdict")?;
    Ok(Review {
        id: ReviewId(row.try_get("id")?),
        version: row.try_get::<i32, _>("version")?.unsigned_abs(),
        author: row.try_get("author")?,
        verdict: Verdict::of_name(&verdict)
            .ok_or(StoreError::Unreadable { what: "reviews.verdict", value: verdict })?,
        comment: row.try_get("comment")?,
        created_at: rfc3339(row.try_get("created_at")?),
    })
}
