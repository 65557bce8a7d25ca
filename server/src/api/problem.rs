//! Errors as the client sees them: `application/problem+json`, RFC 9457.
//!
//! A handler returns [`ApiError`]. What the client did wrong is told in full; what went wrong here
//! is logged in full and told in one sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use qponder_shared::account::check::Unacceptable;
use qponder_shared::api::{Problem, UploadReport};
use qponder_shared::study;
use serde::Serialize;

use crate::accounts::limits::TooMany;
use crate::accounts::passwords::PasswordError;
use crate::accounts::secret::NoRandomness;
use crate::inference::Refused;
use crate::store::StoreError;
use crate::store::objects::ObjectError;

/// An error that a handler answers with.
#[derive(Debug)]
pub struct ApiError {
    problem: Problem,
    /// What became of each file, where files were uploaded.
    files: Option<UploadReport>,
    retry_after: Option<u16>,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    problem: Problem,
    #[serde(flatten)]
    files: Option<UploadReport>,
}

/// A problem: `kind` is the last part of its type, and stable.
pub fn problem(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Problem {
    Problem {
        kind: format!("/problems/{kind}"),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.into(),
    }
}

impl ApiError {
    /// An error of the given kind.
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::from(problem(status, kind, title, detail))
    }

    /// What is wrong, in a sentence.
    pub fn detail(&self) -> &str {
        &self.problem.detail
    }

    /// There is no such thing.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no {what} {id}"))
    }

    /// The request itself cannot be understood.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// The request is understood and asks for something that cannot be.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "Unprocessable request", detail)
    }

    /// Something failed here. The cause is logged, not told.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, "a request failed");
        let detail = "the server could not answer; its log says why, under this answer's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// Not now. The client may try again.
    pub fn busy(detail: &str, seconds: u16) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail);
        error.retry_after = Some(seconds);
        error
    }

    /// It is not known who asks.
    pub fn unauthorised(kind: &str, detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, kind, "Not signed in", detail)
    }

    /// Somebody may be guessing.
    pub fn too_many(detail: &str, too_many: TooMany) -> Self {
        let seconds = too_many.seconds();
        let detail = format!("{detail}; try again in {seconds} s");
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", "Too many attempts", detail);
        error.retry_after = Some(seconds);
        error
    }

    /// The problem, and when to try again, for another dialect.
    pub fn into_parts(self) -> (Problem, Option<u16>) {
        (self.problem, self.retry_after)
    }

    /// Adds what became of each file.
    #[must_use]
    pub fn with_files(mut self, report: UploadReport) -> Self {
        self.files = Some(report);
        self
    }
}

impl From<study::check::Unacceptable> for ApiError {
    fn from(why: study::check::Unacceptable) -> Self {
        Self::unprocessable(why.to_string())
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self { problem, files: None, retry_after: None }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Database(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_))) {
            tracing::error!(%error, "the database is away");
            return Self::busy("the database does not answer at the moment", 5);
        }
        Self::internal(&error)
    }
}

impl From<Unacceptable> for ApiError {
    fn from(error: Unacceptable) -> Self {
        Self::unprocessable(error.to_string())
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::busy("too many passwords are being checked", 5),
            error => Self::internal(&error),
        }
    }
}

impl From<NoRandomness> for ApiError {
    fn from(error: NoRandomness) -> Self {
        Self::internal(&error)
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        Self::internal(&error)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::busy("too many assessments are waiting; try again in a few seconds", 5),
            Refused::Stopping => Self::busy("the server is stopping", 10),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(Body { problem: self.problem, files: self.files })).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
