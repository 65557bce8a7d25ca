//! Why a call gave no answer, and whether a later one may.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why an endpoint cannot be called at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "the environment variable {variable}, which endpoint.api_key_env names, is not set; put the key there"
    )]
    NoKey { variable: String },
    #[error("the key in the environment variable {variable} holds characters that no key has; set it again")]
    UnusableKey { variable: String },
}

/// What kept an answer from coming. The names are those of the journal and the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No connection came about, or it broke before an answer began.
    Connection,
    /// No answer in time.
    Timeout,
    /// 429: too many calls.
    RateLimited,
    /// 408, 409, 425 or 5xx: the endpoint has a problem that may pass.
    Unavailable,
    /// The answer broke off.
    CutOff,
    /// The answer is no chat completion.
    Unreadable,
    /// 401 or 403: the key is missing or not accepted.
    Unauthorised,
    /// 404: there is no such model or no such address.
    NotFound,
    /// Any other status: the request itself is not accepted.
    Refused,
}

impl Cause {
    /// The name in the journal and the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cause::Connection => "connection",
            Cause::Timeout => "timeout",
            Cause::RateLimited => "rate_limited",
            Cause::Unavailable => "unavailable",
            Cause::CutOff => "cut_off",
            Cause::Unreadable => "unreadable",
            Cause::Unauthorised => "unauthorised",
            Cause::NotFound => "not_found",
            Cause::Refused => "refused",
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn may_pass(self) -> bool {
        !matches!(self, Cause::Unauthorised | Cause::NotFound | Cause::Refused)
    }

    /// Whether every other call to this endpoint will fail in the same way.
    #[must_use]
    pub fn concerns_all(self) -> bool {
        matches!(self, Cause::Unauthorised | Cause::NotFound)
    }

    /// Whether the endpoint may have done the work, and charge for it, although no answer came.
    #[must_use]
    pub fn may_cost(self) -> bool {
        matches!(self, Cause::Timeout | Cause::CutOff | Cause::Unreadable)
    }
}

/// A call that gave no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub cause: Cause,
    /// Status of the answer, where one came.
    pub status: Option<u16>,
    /// What happened, in the endpoint's words where it gave any.
    pub message: String,
    /// What the endpoint sent, as far as it came.
    pub body: String,
    /// How long the endpoint asks to wait.
    pub wait: Option<Duration>,
}

/// How much of a body is quoted where it holds no message, in characters.
const QUOTED: usize = 200;

impl CallError {
    /// From a connection that gave no answer.
    pub(super) fn of_transport(error: &ureq::Error) -> Self {
        let cause = match error {
            ureq::Error::Timeout(_) => Cause::Timeout,
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => Cause::Timeout,
            ureq::Error::Protocol(_) => Cause::Unreadable,
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => Cause::Refused,
            _ => Cause::Connection,
        };
        Self { cause, status: None, message: error.to_string(), body: String::new(), wait: None }
    }

    /// From a status other than 200.
    pub(super) fn of_status(status: u16, body: String, wait: Option<Duration>) -> Self {
        let cause = match status {
            429 => Cause::RateLimited,
            408 | 409 | 425 | 500.. => Cause::Unavailable,
            401 | 403 => Cause::Unauthorised,
            404 => Cause::NotFound,
            _ => Cause::Refused,
        };
        let said = message(&body).unwrap_or_else(|| body.trim().chars().take(QUOTED).collect());
        let message =
            if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
        Self { cause, status: Some(status), message, body, wait }
    }

    /// From an answer that began and did not end.
    pub(super) fn of_reading(error: &std::io::Error, body: String) -> Self {
        let timed_out = error.kind() == std::io::ErrorKind::TimedOut
            || error
                .get_ref()
                .and_then(|inner| inner.downcast_ref())
                .is_some_and(|inner| matches!(inner, ureq::Error::Timeout(_)));
        let cause = if timed_out { Cause::Timeout } else { Cause::CutOff };
        let message = format!("the answer broke off: {error}");
        Self { cause, status: Some(200), message, body, wait: None }
    }
}

/// The message of an error body, in the shapes that are about: OpenAI's, FastAPI's, RFC 9457's.
pub(super) fn message(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let places = ["/error/message", "/error", "/message", "/detail"];
    let text = places.iter().find_map(|place| body.pointer(place)?.as_str());
    text.map(str::to_owned).or_else(|| body.get("detail").map(Value::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_try_again_and_the_body_why() {
        for (status, body, cause, words) in [
            (429, r#"{"error":{"message":"slow down","type":"x"}}"#, Cause::RateLimited, "slow down"),
            (500, "<html>oops</html>", Cause::Unavailable, "oops"),
            (503, "", Cause::Unavailable, "status 503"),
            (408, "", Cause::Unavailable, "status 408"),
            (401, r#"{"error":"no key"}"#, Cause::Unauthorised, "no key"),
            (404, r#"{"detail":"Not Found"}"#, Cause::NotFound, "Not Found"),
            (422, r#"{"detail":[{"loc":["body"],"msg":"bad"}]}"#, Cause::Refused, "bad"),
            (307, "", Cause::Refused, "status 307"),
        ] {
            let error = CallError::of_status(status, body.to_owned(), None);
            assert_eq!(error.cause, cause, "{status}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(error.cause.may_pass(), matches!(status, 429 | 500 | 503 | 408), "{status}");
        }
    }
}
