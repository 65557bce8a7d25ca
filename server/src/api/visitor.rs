//! Where a request comes from, before it is known who sends it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use uuid::Uuid;

use super::PublicUrl;
use super::cookie::CookieName;
use super::gate::NoGate;
use super::problem::ApiError;
use super::request_log::RequestId;

/// Where a request comes from, whoever sends it.
#[derive(Clone)]
pub struct Visitor {
    /// Address of the client.
    pub address: IpAddr,
    /// Id of the request.
    pub request: Option<Uuid>,
    /// How the session's cookie is called there.
    pub cookie: CookieName,
    /// The session's secret that the browser sent.
    pub session: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or_else(|| ApiError::internal(&NoGate))
    }
}

impl Visitor {
    /// Reads where a request comes from.
    pub fn of(request: &Request, proxies: &[IpAddr], public_url: Option<&PublicUrl>) -> Self {
        let headers = request.headers();
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer =
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip().to_canonical());
        let cookie = CookieName::of(headers, public_url);
        Self {
            address: client_address(peer, headers, proxies),
            request: request.extensions().get::<RequestId>().map(|RequestId(id)| *id),
            session: cookie.read(headers).map(str::to_owned),
            cookie,
        }
    }
}

/// The address that connected, or, where that is a proxy whose word is believed, the last one that it
/// did not add itself. What stands before in `X-Forwarded-For` is the client's own invention.
fn client_address(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let mut address = peer;
    let forwarded = headers.get_all("x-forwarded-for").iter().rev().filter_map(|value| value.to_str().ok());
    for hop in forwarded.flat_map(|value| value.rsplit(',')) {
        if !proxies.contains(&address) {
            break;
        }
        let Ok(before) = hop.trim().parse::<IpAddr>() else { break };
        address = before.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let proxies = [ip("10.0.0.1"), ip("10.0.0.2")];
        for (peer, forwarded, expected) in [
            ("192.0.2.9", "203.0.113.5", "192.0.2.9"),
            ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "6.6.6.6, 203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "", "10.0.0.1"),
        ] {
            let headers = HeaderMap::from_iter([(
                axum::http::HeaderName::from_static("x-forwarded-for"),
                HeaderValue::from_str(forwarded).expect("a header"),
            )]);
            assert_eq!(client_address(ip(peer), &headers, &proxies), ip(expected), "{peer} {forwarded}");
        }
    }
}
