//! What every answer and every request must satisfy, whatever the route.
//!
//! On a loopback address the server answers only to loopback names (a foreign name that resolves to
//! 127.0.0.1 is DNS rebinding) and to its public one, and requests that change something must come from
//! its own pages or from no page at all. Who may do what is decided in [`super::gate`].

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::PublicUrl;
use super::problem::ApiError;

/// No inline script, nothing from elsewhere. Style attributes are allowed: a progress bar's width
/// is one, and they cannot run anything. `blob:` shows a picked photo before it is uploaded.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self'; \
    worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// Whose requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Only this machine's.
    Loopback,
    /// Everybody's who can reach the address.
    Remote,
}

/// From where the server may be asked.
#[derive(Clone)]
pub struct Origins {
    /// Whose requests are answered.
    pub exposure: Exposure,
    /// How people reach the server, where that is known.
    pub public_url: Option<PublicUrl>,
}

/// Refuses foreign hosts and origins, and puts the security headers on every answer.
pub async fn guard(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let mut response = match check(&origins, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        // A handler may be stricter, as it is for uploaded files.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn check(origins: &Origins, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let public = origins.public_url.as_ref();
    let is_public = public.is_some_and(|url| host.eq_ignore_ascii_case(url.host()));
    if origins.exposure == Exposure::Loopback && !is_public && !is_loopback_name(host) {
        let detail = "this server answers on localhost only; start it with --allow-remote for other names";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "foreign-host", "Foreign host", detail));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || is_own_page(host, public, headers) {
        return Ok(());
    }
    let detail = "a page of another site may not change anything here";
    Err(ApiError::new(StatusCode::FORBIDDEN, "foreign-origin", "Foreign origin", detail))
}

/// Browsers name the origin of every request that changes something; other clients name none.
fn is_own_page(host: &str, public: Option<&PublicUrl>, headers: &HeaderMap) -> bool {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        if public.is_some_and(|url| origin.eq_ignore_ascii_case(url.as_str())) {
            return true;
        }
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        return authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Whether a `Host` names this machine itself.
pub fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn allowed(exposure: Exposure, method: Method, pairs: &[(&'static str, &str)]) -> bool {
        allowed_at(&Origins { exposure, public_url: None }, method, pairs)
    }

    #[track_caller]
    fn allowed_at(origins: &Origins, method: Method, pairs: &[(&'static str, &str)]) -> bool {
        let headers = pairs.iter().filter_map(|(name, value)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        });
        check(origins, &method, &headers.collect()).is_ok()
    }

    #[test]
    fn only_loopback_names_reach_a_loopback_server() {
        for (host, expected) in [
            ("localhost:3000", true),
            ("127.0.0.1:3000", true),
            ("[::1]:3000", true),
            ("LOCALHOST", true),
            ("evil.example:3000", false),
            ("127.0.0.1.evil.example", false),
            ("192.168.1.2:3000", false),
            ("", false),
        ] {
            assert_eq!(allowed(Exposure::Loopback, Method::GET, &[("host", host)]), expected, "{host}");
            assert!(allowed(Exposure::Remote, Method::GET, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn the_public_name_is_an_own_name() {
        let public_url = "https://q.example".parse().ok();
        let origins = Origins { exposure: Exposure::Loopback, public_url };
        for (host, origin, expected) in [
            ("q.example", "https://q.example", true),
            ("127.0.0.1:3000", "https://q.example", true),
            ("127.0.0.1:3000", "http://q.example", false),
            ("q.example", "https://evil.example", false),
            ("evil.example", "https://evil.example", false),
        ] {
            let pairs = [("host", host), ("origin", origin)];
            assert_eq!(allowed_at(&origins, Method::POST, &pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_own_pages_change_anything() {
        let host = ("host", "localhost:3000");
        for (pairs, expected) in [
            (vec![], true),
            (vec![("origin", "http://localhost:3000")], true),
            (vec![("origin", "http://localhost:4000")], false),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-origin")], true),
        ] {
            let pairs: Vec<_> = std::iter::once(host).chain(pairs).collect();
            assert_eq!(allowed(Exposure::Loopback, Method::POST, &pairs), expected, "{pairs:?}");
            assert!(allowed(Exposure::Loopback, Method::GET, &pairs), "{pairs:?}");
        }
    }
}
