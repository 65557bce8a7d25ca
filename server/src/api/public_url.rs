//! How people reach the server, where that is not the address on which it listens.

use std::str::FromStr;

/// Scheme, host and port: what browsers call an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text that is no such URL.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not like https://q-ponder.example.org, without a path")]
pub struct NoPublicUrl(String);

impl FromStr for PublicUrl {
    type Err = NoPublicUrl;

    fn from_str(text: &str) -> Result<Self, NoPublicUrl> {
        let url = text.trim_end_matches('/').to_lowercase();
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
        };
        match host {
            Some(host) if is_host(host) => Ok(Self(url)),
            _ => Err(NoPublicUrl(text.to_owned())),
        }
    }
}

impl PublicUrl {
    /// The text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether TLS stands before the server.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Host and port, as a `Host` header has them.
    pub fn host(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, host)| host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        for (text, host) in [
            ("https://Q.example/", Some("q.example")),
            ("http://10.0.0.1:3000", Some("10.0.0.1:3000")),
            ("http://[::1]:3000", Some("[::1]:3000")),
            ("q.example", None),
            ("https://", None),
            ("https://q.example/path", None),
            ("https://user@q.example", None),
            ("ftp://q.example", None),
        ] {
            let read = text.parse::<PublicUrl>();
            assert_eq!(read.as_ref().ok().map(PublicUrl::host), host, "{text}");
        }
    }
}
