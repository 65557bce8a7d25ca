//! People with accounts, as tests need them: an admin through the first link, others through invites.

use serde_json::{Value, json};

use crate::client::{Answer, Client, text};

/// A password that everybody here has.
pub const PASSWORD: &str = "correct horse battery staple";

/// The secret of a link: what stands after `#`.
#[must_use]
pub fn secret_of(link: &str) -> &str {
    link.rsplit_once('#').unwrap_or_else(|| panic!("{link} has no secret")).1
}

/// The cookie that an answer sets, as a browser would send it; empty where it sets none.
#[must_use]
pub fn cookie_of(answer: &Answer) -> &str {
    answer.header("set-cookie").split(';').next().unwrap_or_default()
}

/// A client with the session that an answer began.
#[must_use]
pub fn signed_in(client: &Client, answer: &Answer) -> Client {
    assert!(answer.status < 300, "{}", answer.json());
    client.with_header("cookie", cookie_of(answer))
}

/// Uses a link as a new user.
#[must_use]
pub fn join(client: &Client, secret: &str, email: &str) -> Answer {
    let body = json!({ "token": secret, "email": email, "name": "Somebody", "password": PASSWORD });
    client.post("/api/v1/invites/accept", &body)
}

/// Creates the first admin through the link of the first start, and signs them in.
#[must_use]
pub fn first_admin(client: &Client, link: &str) -> Client {
    signed_in(client, &join(client, secret_of(link), "admin@example.org"))
}

/// Invites somebody; returns the secret of the link.
#[must_use]
pub fn invite(admin: &Client, role: &str) -> String {
    let made = admin.post("/api/v1/invites", &json!({ "role": role }));
    assert_eq!(made.status, 201, "{}", made.json());
    secret_of(&text(&made.json()["path"])).to_owned()
}

/// A new user of a role, signed in. Their address is `{name}@example.org`.
#[must_use]
pub fn new_user(anybody: &Client, admin: &Client, role: &str, name: &str) -> Client {
    signed_in(anybody, &join(anybody, &invite(admin, role), &format!("{name}@example.org")))
}

/// Tries to sign in.
#[must_use]
pub fn sign_in(client: &Client, email: &str, password: &str) -> Answer {
    client.post("/api/v1/session", &json!({ "email": email, "password": password }))
}

/// Makes a token of the user who is signed in; returns a client that sends it.
#[must_use]
pub fn token(anybody: &Client, user: &Client, scopes: &[&str]) -> Client {
    let made = user.post("/api/v1/tokens", &json!({ "name": "a test", "scopes": scopes }));
    assert_eq!(made.status, 201, "{}", made.json());
    anybody.with_header("authorization", &format!("Bearer {}", text(&made.json()["secret"])))
}

/// The user that a client is signed in as.
#[must_use]
pub fn me(client: &Client) -> Value {
    let answer = client.get("/api/v1/session");
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()["user"].clone()
}
