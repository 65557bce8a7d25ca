//! Calls of `/api/v1` about studies, votes, annotations and reviews.

use gloo_net::http::Request;
use qponder_shared::api::Page;
use qponder_shared::study::dataset::{CreateDataset, Dataset};
use qponder_shared::study::statistics::StudyStatistics;
use qponder_shared::study::{
    AddItems, AddMember, Added, ChangeItem, ChangeStudy, Comment, CreateAnnotation, CreateReview,
    CreateStudy, CreateVote, Draft, Given, Item, Member, QueueSort, Reveal, SaveDraft, Study, Tasks, Thread,
    ThreadState, ThreadSummary, VoteReceipt,
};
use qponder_shared::{ItemId, StudyId, ThreadId, UserId};

use crate::api::{Failure, NOTHING, create, delete, get, read, send};

const STUDIES: &str = "/api/v1/studies";

/// One page of studies.
pub async fn studies(cursor: Option<&str>) -> Result<Page<Study>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}"));
    get(&format!("{STUDIES}?limit=50{}", cursor.unwrap_or_default())).await
}

/// One study.
pub async fn study(id: StudyId) -> Result<Study, Failure> {
    get(&format!("{STUDIES}/{id}")).await
}

/// Makes a study; with the same key again it is the same one.
pub async fn create_study(body: &CreateStudy, key: &str) -> Result<Study, Failure> {
    read(create(STUDIES, body, key).await?).await
}

/// Changes a study.
pub async fn change_study(id: StudyId, body: &ChangeStudy) -> Result<Study, Failure> {
    read(send(Request::patch, &format!("{STUDIES}/{id}"), Some(body)).await?).await
}

/// A study's statistics under a screening.
pub async fn statistics(id: StudyId, screening: &str) -> Result<StudyStatistics, Failure> {
    get(&format!("{STUDIES}/{id}/statistics?screening={screening}")).await
}

/// The newest datasets.
pub async fn datasets() -> Result<Page<Dataset>, Failure> {
    get("/api/v1/datasets?limit=200").await
}

/// Makes a version of a dataset.
pub async fn create_dataset(id: StudyId, body: &CreateDataset) -> Result<Dataset, Failure> {
    read(send(Request::post, &format!("{STUDIES}/{id}/datasets"), Some(body)).await?).await
}

/// Who takes part.
pub async fn members(id: StudyId) -> Result<Vec<Member>, Failure> {
    get(&format!("{STUDIES}/{id}/members")).await
}

/// Adds a user.
pub async fn add_member(id: StudyId, body: &AddMember) -> Result<Vec<Member>, Failure> {
    read(send(Request::post, &format!("{STUDIES}/{id}/members"), Some(body)).await?).await
}

/// Takes a user out.
pub async fn remove_member(id: StudyId, user: UserId) -> Result<(), Failure> {
    delete(&format!("{STUDIES}/{id}/members/{user}")).await
}

/// One page of a study's items.
pub async fn items(id: StudyId, cursor: Option<&str>) -> Result<Page<Item>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}"));
    get(&format!("{STUDIES}/{id}/items?limit=100{}", cursor.unwrap_or_default())).await
}

/// Adds images to a study.
pub async fn add_items(id: StudyId, body: &AddItems) -> Result<Added, Failure> {
    read(send(Request::post, &format!("{STUDIES}/{id}/items"), Some(body)).await?).await
}

/// Changes what an item is for.
pub async fn change_item(id: ItemId, body: &ChangeItem) -> Result<Item, Failure> {
    read(send(Request::patch, &format!("/api/v1/items/{id}"), Some(body)).await?).await
}

/// What comes next.
pub async fn tasks(id: StudyId, limit: usize) -> Result<Tasks, Failure> {
    get(&format!("{STUDIES}/{id}/tasks?limit={limit}")).await
}

/// One's newest votes.
pub async fn given(id: StudyId) -> Result<Page<Given>, Failure> {
    get(&format!("{STUDIES}/{id}/votes/mine?limit=20")).await
}

/// Votes.
pub async fn vote(id: StudyId, body: &CreateVote) -> Result<VoteReceipt, Failure> {
    read(send(Request::post, &format!("{STUDIES}/{id}/votes"), Some(body)).await?).await
}

/// Unsent work that the server has.
pub async fn draft(item: ItemId, repeat: u8) -> Result<Draft, Failure> {
    get(&format!("/api/v1/items/{item}/draft?repeat={repeat}")).await
}

/// Keeps unsent work.
pub async fn save_draft(item: ItemId, body: &SaveDraft) -> Result<Draft, Failure> {
    read(send(Request::put, &format!("/api/v1/items/{item}/draft"), Some(body)).await?).await
}

/// What models say, after one's vote.
pub async fn reveal(item: ItemId) -> Result<Reveal, Failure> {
    read(send(Request::post, &format!("/api/v1/items/{item}/reveal"), NOTHING).await?).await
}

/// Sends a version of an annotation.
pub async fn annotate(item: ItemId, body: &CreateAnnotation) -> Result<Thread, Failure> {
    read(send(Request::post, &format!("/api/v1/items/{item}/annotations"), Some(body)).await?).await
}

/// One page of the review queue.
pub async fn queue(
    state: ThreadState,
    sort: QueueSort,
    cursor: Option<&str>,
) -> Result<Page<ThreadSummary>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", js_sys::encode_uri_component(cursor)));
    let (state, sort) = (state.name(), sort.name());
    get(&format!("/api/v1/annotations?limit=50&state={state}&sort={sort}{}", cursor.unwrap_or_default()))
        .await
}

/// All of an annotation.
pub async fn thread(id: ThreadId) -> Result<Thread, Failure> {
    get(&format!("/api/v1/annotations/{id}")).await
}

/// Settles an annotation, or sends it back.
pub async fn review(id: ThreadId, body: &CreateReview) -> Result<Thread, Failure> {
    read(send(Request::post, &format!("/api/v1/annotations/{id}/reviews"), Some(body)).await?).await
}

/// Comments on an annotation.
pub async fn comment(id: ThreadId, body: &Comment) -> Result<Thread, Failure> {
    read(send(Request::post, &format!("/api/v1/annotations/{id}/comments"), Some(body)).await?).await
}
