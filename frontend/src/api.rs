//! Calls of `/api/v1`.

use std::fmt;

use gloo_net::http::{Request, RequestBuilder, Response};
use qponder_shared::api::{Assessment, CreateAssessment, Image, Page, Problem, ServerInfo};
use qponder_shared::{AssessmentId, ImageId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session;

/// Where uploads go.
pub const IMAGES: &str = "/api/v1/images";

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No response came.
    Unreachable,
    /// The server said no, and why.
    Refused {
        problem: Problem,
        /// Seconds after which it makes sense to ask again.
        retry_after: Option<u32>,
    },
    /// The response is not what this version of the page understands.
    Unreadable(String),
}

impl Failure {
    /// The HTTP status, where the server answered with a problem.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Failure::Refused { problem, .. } => Some(problem.status),
            Failure::Unreachable | Failure::Unreadable(_) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable => f.write_str("The server can’t be reached."),
            Failure::Refused { problem, .. } => f.write_str(sentence(problem)),
            Failure::Unreadable(what) => write!(f, "The server’s answer could not be read ({what})."),
        }
    }
}

/// What a person should read of a problem.
#[must_use]
pub fn sentence(problem: &Problem) -> &str {
    if problem.detail.is_empty() { &problem.title } else { &problem.detail }
}

/// Orders of the gallery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Newest,
    Oldest,
    Best,
    Worst,
}

impl Sort {
    /// In the order in which they are offered.
    pub const ALL: [Sort; 4] = [Sort::Newest, Sort::Oldest, Sort::Best, Sort::Worst];

    /// The name in the query and in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sort::Newest => "newest",
            Sort::Oldest => "oldest",
            Sort::Best => "best",
            Sort::Worst => "worst",
        }
    }
}

/// The server's model and limits.
pub async fn info() -> Result<ServerInfo, Failure> {
    get("/api/v1/info").await
}

/// One page of the gallery.
pub async fn images(sort: Sort, cursor: Option<&str>) -> Result<Page<Image>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", js_sys::encode_uri_component(cursor)));
    get(&format!("{IMAGES}?limit=40&sort={}{}", sort.name(), cursor.unwrap_or_default())).await
}

/// One image.
pub async fn image(id: ImageId) -> Result<Image, Failure> {
    get(&format!("{IMAGES}/{id}")).await
}

/// Deletes an image and its assessments.
pub async fn delete_image(id: ImageId) -> Result<(), Failure> {
    delete(&format!("{IMAGES}/{id}")).await
}

/// Deletes an image while the page goes away: the browser finishes the request without it.
pub fn delete_image_on_leave(id: ImageId) {
    let options = web_sys::RequestInit::new();
    options.set_method("DELETE");
    // `keepalive` has no setter in web-sys.
    let _ = js_sys::Reflect::set(&options, &"keepalive".into(), &true.into());
    let _ = leptos::prelude::window().fetch_with_str_and_init(&format!("{IMAGES}/{id}"), &options);
}

/// The newest assessments of an image.
pub async fn assessments(image: ImageId) -> Result<Page<Assessment>, Failure> {
    get(&format!("{IMAGES}/{image}/assessments?limit=50")).await
}

/// One assessment.
pub async fn assessment(id: AssessmentId) -> Result<Assessment, Failure> {
    get(&format!("/api/v1/assessments/{id}")).await
}

/// Queues an assessment.
pub async fn create_assessment(body: &CreateAssessment) -> Result<Assessment, Failure> {
    read(send(Request::post, "/api/v1/assessments", Some(body)).await?).await
}

/// Asks the server to stop an assessment.
pub async fn cancel_assessment(id: AssessmentId) -> Result<(), Failure> {
    delete(&format!("/api/v1/assessments/{id}")).await
}

/// Where an assessment's events come from.
#[must_use]
pub fn events_url(id: AssessmentId) -> String {
    format!("/api/v1/assessments/{id}/events")
}

/// The uploaded bytes, untouched.
#[must_use]
pub fn original_url(id: ImageId) -> String {
    format!("{IMAGES}/{id}/original")
}

/// A small version for lists.
#[must_use]
pub fn thumbnail_url(id: ImageId) -> String {
    format!("{IMAGES}/{id}/thumbnail")
}

/// The decoded pixels, lossless.
#[must_use]
pub fn rendering_url(id: ImageId) -> String {
    format!("{IMAGES}/{id}/rendering")
}

/// Reads something.
pub async fn get<T: DeserializeOwned>(url: &str) -> Result<T, Failure> {
    read(send(Request::get, url, NOTHING).await?).await
}

/// Deletes something.
pub async fn delete(url: &str) -> Result<(), Failure> {
    send(Request::delete, url, NOTHING).await.map(drop)
}

/// No body.
pub const NOTHING: Option<&()> = None;

/// Makes a call. One that needs somebody to be signed in waits until somebody is, and is made again.
pub async fn send<B: Serialize>(
    method: fn(&str) -> RequestBuilder,
    url: &str,
    body: Option<&B>,
) -> Result<Response, Failure> {
    signed_in(async || send_once(method, url, body).await).await
}

/// Makes something under a key of ours: where an answer got lost, the same call gives what the first made.
pub async fn create<B: Serialize>(url: &str, body: &B, key: &str) -> Result<Response, Failure> {
    signed_in(async || finish(Request::post(url).header("idempotency-key", key), Some(body)).await).await
}

/// Makes a call again where it waited for somebody to sign in.
async fn signed_in(call: impl AsyncFn() -> Result<Response, Failure>) -> Result<Response, Failure> {
    loop {
        match call().await {
            Err(Failure::Refused { problem, .. }) if problem.kind == session::NOT_SIGNED_IN => {
                session::wait().await
            }
            answer => return answer,
        }
    }
}

/// Makes a call, signed in or not.
pub async fn send_once<B: Serialize>(
    method: fn(&str) -> RequestBuilder,
    url: &str,
    body: Option<&B>,
) -> Result<Response, Failure> {
    finish(method(url), body).await
}

async fn finish<B: Serialize>(request: RequestBuilder, body: Option<&B>) -> Result<Response, Failure> {
    let request = match body {
        Some(body) => request.json(body),
        None => request.build(),
    };
    succeed(request.map_err(unreadable)?.send().await).await
}

async fn succeed(answer: Result<Response, gloo_net::Error>) -> Result<Response, Failure> {
    let response = answer.map_err(|_| Failure::Unreachable)?;
    if response.ok() {
        return Ok(response);
    }
    let retry_after = response.headers().get("retry-after").and_then(|seconds| seconds.parse().ok());
    let status = response.status();
    let problem = response.json().await.unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: format!("The server answered with status {status}."),
        status,
        detail: String::new(),
    });
    Err(Failure::Refused { problem, retry_after })
}

/// Reads an answer.
pub async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    response.json().await.map_err(unreadable)
}

fn unreadable(error: gloo_net::Error) -> Failure {
    Failure::Unreadable(error.to_string())
}
