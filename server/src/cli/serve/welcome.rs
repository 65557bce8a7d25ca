//! What `qponder serve` says besides its address.

use std::net::SocketAddr;

use anyhow::Context;

use crate::accounts::secret::Secret;
use crate::api::{self, PublicUrl, Reach};
use crate::store::Store;
use crate::store::audit::{By, Via};
use crate::store::invites::Purpose;

/// What else to say at the start: that nobody signs in here, or how the first one can.
pub async fn words(store: &Store, reach: &Reach, address: SocketAddr) -> anyhow::Result<String> {
    if reach.local {
        tracing::info!("local mode: whoever can use this machine is the administrator");
        return Ok("\nLocal mode: whoever can use this machine is the administrator.".to_owned());
    }
    if store.has_users().await? {
        return Ok(String::new());
    }
    let secret = Secret::new("")?;
    let by = By { user: None, name: "server".to_owned(), via: Via::Command, request: None };
    let link = store.add_link(Purpose::First, &secret.hash(), &by).await?;
    link.context("too many links are open")?;
    let url = link_url(reach.public_url.as_ref(), address, secret.text());
    Ok(format!("\nThere is no account yet. Create the administrator, within a day, at\n{url}"))
}

/// A link that a person can open.
fn link_url(public: Option<&PublicUrl>, address: SocketAddr, secret: &str) -> String {
    let path = api::LINK_PATH;
    match public {
        Some(url) => format!("{}{path}{secret}", url.as_str()),
        // Every address is no address: this machine is the one that is certain.
        None if address.ip().is_unspecified() => format!("http://localhost:{}{path}{secret}", address.port()),
        None => format!("http://{address}{path}{secret}"),
    }
}
