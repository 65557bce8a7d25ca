//! The cookie that carries a session.
//!
//! `__Host-qponder` with `Secure`: browsers then send it over HTTPS alone and let no other host set it. On a
//! loopback address there usually is no TLS, and not every browser takes `Secure` cookies from
//! `http://127.0.0.1` (Safari does not, curl does not): there it is `qponder`, without `Secure`. It never
//! leaves the machine, and it counts only on loopback names. With an `https` public URL the strict one is
//! used whatever the host is called. `SameSite=Strict` costs nothing: the page is one static file, and what
//! it asks for comes from its own site.

use axum::http::{HeaderMap, HeaderValue, header};

use super::PublicUrl;
use super::security::is_loopback_name;
use crate::store::sessions::LONGEST;

/// How the cookie is called, and with it whether it is bound to HTTPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieName {
    /// `__Host-qponder`.
    Secure,
    /// `qponder`, on loopback names alone.
    Loopback,
}

impl CookieName {
    /// The name for a request.
    pub fn of(headers: &HeaderMap, public_url: Option<&PublicUrl>) -> Self {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if is_loopback_name(host) && !public_url.is_some_and(PublicUrl::is_https) {
            CookieName::Loopback
        } else {
            CookieName::Secure
        }
    }

    fn text(self) -> &'static str {
        match self {
            CookieName::Secure => "__Host-qponder",
            CookieName::Loopback => "qponder",
        }
    }

    fn attributes(self) -> &'static str {
        match self {
            CookieName::Secure => "Path=/; HttpOnly; SameSite=Strict; Secure",
            CookieName::Loopback => "Path=/; HttpOnly; SameSite=Strict",
        }
    }

    /// The secret that a browser sent.
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.text()).map(|(_, secret)| secret)
    }

    /// `Set-Cookie` for a new session. It ends with the session at the latest.
    pub fn set(self, secret: &str) -> Option<HeaderValue> {
        let text = format!("{}={secret}; Max-Age={LONGEST:.0}; {}", self.text(), self.attributes());
        HeaderValue::from_str(&text).ok()
    }

    /// `Set-Cookie` that removes it.
    pub fn clear(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            CookieName::Secure => "__Host-qponder=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure",
            CookieName::Loopback => "qponder=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_has_the_strict_cookie_and_loopback_the_plain_one() {
        let public: PublicUrl = "https://q.example".parse().expect("a URL");
        for (host, url, expected) in [
            ("127.0.0.1:3000", None, CookieName::Loopback),
            ("localhost", None, CookieName::Loopback),
            ("q.example", None, CookieName::Secure),
            ("127.0.0.1.q.example", None, CookieName::Secure),
            ("127.0.0.1:3000", Some(&public), CookieName::Secure),
            ("", None, CookieName::Secure),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            assert_eq!(CookieName::of(&headers, url), expected, "{host}");
        }
        let set = CookieName::Secure.set("abc").expect("a header");
        let expected = "__Host-qponder=abc; Max-Age=2592000; Path=/; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set, expected);
    }

    #[test]
    fn only_the_right_name_counts() {
        let headers = HeaderMap::from_iter([(
            header::COOKIE,
            HeaderValue::from_static("a=1; qponder=plain; __Host-qponder=strict"),
        )]);
        assert_eq!(CookieName::Secure.read(&headers), Some("strict"));
        assert_eq!(CookieName::Loopback.read(&headers), Some("plain"));
        assert_eq!(CookieName::Loopback.read(&HeaderMap::new()), None);
    }
}
