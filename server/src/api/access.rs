//! Who may do what: one table, from every route to what it asks of the caller.
//!
//! A route that is not in the table is refused, whoever asks. So a new endpoint is closed until somebody
//! has written down here who may use it, and the matrix test names it until then.

use axum::http::Method;
use qponder_shared::Scope;

/// What a route asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: anybody may call it.
    Public,
    /// To be signed in, or any token that works.
    SignedIn,
    /// To be signed in on the page. It is about the caller's own account, where a token that leaked must
    /// not make others or lock its owner out.
    Own,
    /// A scope, of the session's role or of the token.
    Needs(Scope),
}

use Access::{Needs, Own, Public, SignedIn};

/// Any method: for answers that there is no such route.
const ANY: &str = "*";

const TABLE: &[(&str, &str, Access)] = &[
    // Signing in, and the links that come before an account.
    ("POST", "/api/v1/session", Public),
    ("POST", "/api/v1/invites/open", Public),
    ("POST", "/api/v1/invites/accept", Public),
    // One's own account.
    ("GET", "/api/v1/session", SignedIn),
    ("DELETE", "/api/v1/session", Own),
    ("GET", "/api/v1/sessions", Own),
    ("DELETE", "/api/v1/sessions", Own),
    ("PUT", "/api/v1/password", Own),
    ("GET", "/api/v1/tokens", Own),
    ("POST", "/api/v1/tokens", Own),
    ("DELETE", "/api/v1/tokens/{id}", Own),
    // Administration.
    ("GET", "/api/v1/users", Needs(Scope::Admin)),
    ("PATCH", "/api/v1/users/{id}", Needs(Scope::Admin)),
    ("POST", "/api/v1/users/{id}/reset-link", Needs(Scope::Admin)),
    ("GET", "/api/v1/invites", Needs(Scope::Admin)),
    ("POST", "/api/v1/invites", Needs(Scope::Admin)),
    ("DELETE", "/api/v1/invites/{id}", Needs(Scope::Admin)),
    ("GET", "/api/v1/audit", Needs(Scope::Admin)),
    ("GET", "/api/v1/storage", Needs(Scope::Admin)),
    ("POST", "/api/v1/storage/count", Needs(Scope::Admin)),
    ("DELETE", "/api/v1/storage/orphans", Needs(Scope::Admin)),
    ("GET", "/api/v1/health", Needs(Scope::Admin)),
    // Images and assessments.
    ("GET", "/api/v1/info", Needs(Scope::Read)),
    ("GET", "/api/v1/images", Needs(Scope::Read)),
    ("POST", "/api/v1/images", Needs(Scope::Assess)),
    ("GET", "/api/v1/images/{id}", Needs(Scope::Read)),
    ("DELETE", "/api/v1/images/{id}", Needs(Scope::Assess)),
    ("GET", "/api/v1/images/{id}/original", Needs(Scope::Read)),
    ("GET", "/api/v1/images/{id}/thumbnail", Needs(Scope::Read)),
    ("GET", "/api/v1/images/{id}/rendering", Needs(Scope::Read)),
    ("GET", "/api/v1/images/{id}/assessments", Needs(Scope::Read)),
    ("POST", "/api/v1/assessments", Needs(Scope::Assess)),
    ("GET", "/api/v1/assessments/{id}", Needs(Scope::Read)),
    ("DELETE", "/api/v1/assessments/{id}", Needs(Scope::Assess)),
    ("GET", "/api/v1/assessments/{id}/events", Needs(Scope::Read)),
    // Studies: who runs them sees all of them, others those of which they are a member.
    ("GET", "/api/v1/studies", Needs(Scope::Annotate)),
    ("POST", "/api/v1/studies", Needs(Scope::Review)),
    ("GET", "/api/v1/studies/{id}", Needs(Scope::Annotate)),
    ("PATCH", "/api/v1/studies/{id}", Needs(Scope::Review)),
    ("GET", "/api/v1/studies/{id}/statistics", Needs(Scope::Review)),
    ("GET", "/api/v1/studies/{id}/members", Needs(Scope::Review)),
    ("POST", "/api/v1/studies/{id}/members", Needs(Scope::Review)),
    ("DELETE", "/api/v1/studies/{id}/members/{user}", Needs(Scope::Review)),
    ("GET", "/api/v1/studies/{id}/items", Needs(Scope::Review)),
    ("POST", "/api/v1/studies/{id}/items", Needs(Scope::Review)),
    ("PATCH", "/api/v1/items/{id}", Needs(Scope::Review)),
    ("GET", "/api/v1/studies/{id}/tasks", Needs(Scope::Annotate)),
    ("POST", "/api/v1/studies/{id}/votes", Needs(Scope::Annotate)),
    ("GET", "/api/v1/studies/{id}/votes/mine", Needs(Scope::Annotate)),
    ("GET", "/api/v1/items/{id}/draft", Needs(Scope::Annotate)),
    ("PUT", "/api/v1/items/{id}/draft", Needs(Scope::Annotate)),
    ("DELETE", "/api/v1/items/{id}/draft", Needs(Scope::Annotate)),
    ("POST", "/api/v1/items/{id}/reveal", Needs(Scope::Annotate)),
    ("POST", "/api/v1/items/{id}/annotations", Needs(Scope::Annotate)),
    ("POST", "/api/v1/studies/{id}/datasets", Needs(Scope::Review)),
    ("GET", "/api/v1/datasets", Needs(Scope::Review)),
    ("GET", "/api/v1/datasets/{id}/archive", Needs(Scope::Review)),
    // Imports and exports: they bring and take everything that reviewers see.
    ("POST", "/api/v1/exports", Needs(Scope::Review)),
    ("POST", "/api/v1/imports", Needs(Scope::Review)),
    ("GET", "/api/v1/transfers", Needs(Scope::Review)),
    ("GET", "/api/v1/transfers/{id}", Needs(Scope::Review)),
    ("DELETE", "/api/v1/transfers/{id}", Needs(Scope::Review)),
    ("GET", "/api/v1/transfers/{id}/file", Needs(Scope::Review)),
    // Annotations: one's own, or all of them for those who review.
    ("GET", "/api/v1/annotations", Needs(Scope::Review)),
    ("GET", "/api/v1/annotations/{id}", Needs(Scope::Annotate)),
    ("POST", "/api/v1/annotations/{id}/comments", Needs(Scope::Annotate)),
    ("POST", "/api/v1/annotations/{id}/reviews", Needs(Scope::Review)),
    // Comparing models; who only rates sees none of it.
    ("PUT", "/api/v1/images/{id}/labels", Needs(Scope::Train)),
    ("GET", "/api/v1/images/{id}/comparison", Needs(Scope::Assess)),
    ("GET", "/api/v1/comparison", Needs(Scope::Assess)),
    ("GET", "/api/v1/comparison/statistics", Needs(Scope::Assess)),
    ("GET", "/api/v1/comparison/models", Needs(Scope::Assess)),
    // Training.
    ("GET", "/api/v1/jobs", Needs(Scope::Train)),
    ("POST", "/api/v1/jobs", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}", Needs(Scope::Train)),
    ("PATCH", "/api/v1/jobs/{id}", Needs(Scope::Train)),
    ("POST", "/api/v1/pipelines", Needs(Scope::Train)),
    ("POST", "/api/v1/recipes/check", Needs(Scope::Train)),
    ("GET", "/api/v1/recipes/differences", Needs(Scope::Train)),
    ("GET", "/api/v1/recipes/fields", Needs(Scope::Train)),
    ("POST", "/api/v1/recipes/edit", Needs(Scope::Train)),
    ("DELETE", "/api/v1/jobs/{id}", Needs(Scope::Train)),
    ("POST", "/api/v1/jobs/{id}/retry", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/attempts", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/metrics", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/log", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/completions", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/events", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/artifacts", Needs(Scope::Train)),
    ("GET", "/api/v1/artifacts/{id}", Needs(Scope::Train)),
    ("GET", "/api/v1/workers", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/lineage", Needs(Scope::Train)),
    ("GET", "/api/v1/jobs/{id}/measurements", Needs(Scope::Train)),
    ("GET", "/api/v1/models", Needs(Scope::Train)),
    ("POST", "/api/v1/models", Needs(Scope::Train)),
    ("GET", "/api/v1/models/{id}", Needs(Scope::Train)),
    ("PATCH", "/api/v1/models/{id}", Needs(Scope::Train)),
    ("GET", "/api/v1/models/{id}/measurements", Needs(Scope::Train)),
    ("GET", "/api/v1/models/{id}/file", Needs(Scope::Train)),
    ("GET", "/api/v1/uses", Needs(Scope::Train)),
    ("PUT", "/api/v1/uses/{use}", Needs(Scope::Train)),
    ("POST", "/api/v1/uses/{use}/rollback", Needs(Scope::Train)),
    // The OpenAI dialect.
    ("GET", "/v1/models", Needs(Scope::Read)),
    ("POST", "/v1/chat/completions", Needs(Scope::Assess)),
    // Operation. The counters tell how much a place is used, so they are not public; a scope of their own
    // keeps the monitoring system's token from everything else.
    ("GET", "/metrics", Needs(Scope::Metrics)),
    ("GET", "/healthz", Public),
    ("GET", "/readyz", Public),
    // The description, which is in the source code as well.
    ("GET", "/api/openapi.json", Public),
    ("GET", "/api/docs", Public),
    ("GET", "/api/docs/", Public),
    ("GET", "/api/docs/docs.js", Public),
    ("GET", "/api/docs/docs.css", Public),
    // There is nothing else: these answer 404.
    (ANY, "/api", Public),
    (ANY, "/api/{*rest}", Public),
    (ANY, "/v1/{*rest}", Public),
];

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This is what it asks.
    Asks(Access),
    /// The route is there, for other methods.
    OtherMethod,
    /// The route is not in the table.
    Unlisted,
}

/// Looks up a method and the pattern of a route, such as `/api/v1/images/{id}`.
pub fn look_up(method: &Method, route: &str) -> Entry {
    // What answers GET answers HEAD.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut is_known = false;
    for (listed, _, access) in TABLE.iter().filter(|(_, listed, _)| *listed == route) {
        if *listed == ANY || *listed == method {
            return Entry::Asks(*access);
        }
        is_known = true;
    }
    if is_known { Entry::OtherMethod } else { Entry::Unlisted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        assert_eq!(look_up(&Method::GET, "/api/v1/images"), Entry::Asks(Needs(Scope::Read)));
        assert_eq!(look_up(&Method::HEAD, "/api/v1/images"), Entry::Asks(Needs(Scope::Read)));
        assert_eq!(look_up(&Method::PUT, "/api/v1/images"), Entry::OtherMethod);
        assert_eq!(look_up(&Method::PUT, "/api"), Entry::Asks(Public));
        assert_eq!(look_up(&Method::GET, "/api/v1/secrets"), Entry::Unlisted);
    }

    /// Every endpoint of the OpenAPI document is in the table, and nothing in the table is a leftover.
    #[test]
    fn the_table_is_the_document() {
        let document = super::super::document();
        let described: Vec<(String, String)> = document
            .paths
            .paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = [
                    ("GET", &item.get),
                    ("POST", &item.post),
                    ("PUT", &item.put),
                    ("PATCH", &item.patch),
                    ("DELETE", &item.delete),
                ];
                methods
                    .into_iter()
                    .filter(|(_, operation)| operation.is_some())
                    .map(|(method, _)| (method.to_owned(), path.clone()))
            })
            .collect();
        for (method, path) in &described {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert!(
                matches!(look_up(&method, path), Entry::Asks(_)),
                "{method} {path} is in no line of the table"
            );
        }
        for (method, path, access) in TABLE {
            let is_described = described.iter().any(|(m, p)| m == method && p == path);
            let is_versioned = path.starts_with("/api/v1/") || (path.starts_with("/v1/") && *method != ANY);
            assert_eq!(is_described, is_versioned, "{method} {path}");
            assert!(is_described || *access == Public || *path == "/metrics", "{method} {path}");
        }
    }
}
