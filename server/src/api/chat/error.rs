//! Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::problem::ApiError;
use crate::inference::Refused;

/// The body of an error.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatErrorBody {
    error: ChatErrorDetail,
}

/// What went wrong.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChatErrorDetail {
    /// What happened, and what to do.
    message: String,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or
    /// `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The parameter that it is about.
    param: Option<&'static str>,
    /// A stable name, where there is one.
    code: Option<&'static str>,
}

/// Why there is no completion.
#[derive(Debug)]
pub struct ChatError {
    status: StatusCode,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
    message: String,
    retry_after: Option<u16>,
}

impl ChatError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, param: None, code: None, message: message.into(), retry_after: None }
    }

    /// A parameter cannot be used.
    pub fn refused(param: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param: Some(param), ..error }
    }

    /// The body cannot be read.
    pub fn unreadable(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "invalid_request_error", message)
    }

    /// There is no such model.
    pub fn no_model(asked: &str, there: &[&str]) -> Self {
        let asked: String = asked.chars().take(100).collect();
        let message = format!("there is no model {asked:?} here; ask for {}", there.join(", "));
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Self { param: Some("model"), code: Some("model_not_found"), ..error }
    }

    /// There is no such route.
    pub fn no_route(path: &str) -> Self {
        let message = format!("there is no {path}; see /api/docs");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    /// The model could not answer.
    pub fn failed(reason: String) -> Self {
        tracing::error!(error = reason, "a completion failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", reason)
    }

    /// Something failed here. The cause is logged, not told.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = %cause, "a completion failed");
        let message = "the server could not answer; its log says why, under this answer's x-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// The server stops.
    pub fn stopping() -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "the server is stopping");
        Self { retry_after: Some(10), ..error }
    }

    /// As it stands in a stream that has begun.
    pub fn into_body(self) -> ChatErrorBody {
        let Self { kind, param, code, message, .. } = self;
        ChatErrorBody { error: ChatErrorDetail { message, kind, param, code } }
    }
}

impl From<Refused> for ChatError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => {
                let message = "too many requests are waiting; try again in a few seconds";
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
                Self { code: Some("queue_full"), retry_after: Some(5), ..error }
            }
            Refused::Stopping => Self::stopping(),
        }
    }
}

/// What the gate says, in this dialect.
impl From<ApiError> for ChatError {
    fn from(error: ApiError) -> Self {
        let (problem, retry_after) = error.into_parts();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, code) = match status {
            StatusCode::UNAUTHORIZED => ("authentication_error", Some("invalid_api_key")),
            StatusCode::FORBIDDEN => ("permission_error", None),
            StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", None),
            status if status.is_server_error() => ("server_error", None),
            _ => ("invalid_request_error", None),
        };
        Self { code, retry_after, ..Self::new(status, kind, problem.detail) }
    }
}

impl IntoResponse for ChatError {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = (status, Json(self.into_body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_early_is_told_when_to_come_again() {
        for (refused, status) in [
            (Refused::Full, StatusCode::TOO_MANY_REQUESTS),
            (Refused::Stopping, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let response = ChatError::from(refused).into_response();
            assert_eq!(response.status(), status);
            assert!(response.headers().contains_key(header::RETRY_AFTER), "{refused:?}");
        }
    }
}
