//! Time that only goes forward, and names that come once: neither asks what the machine's clock says, which
//! may be years off and may be set while somebody works.

use js_sys::Math;
use leptos::prelude::window;

/// Milliseconds since the page was opened.
#[must_use]
pub fn now() -> f64 {
    window().performance().map_or(0.0, |performance| performance.now())
}

/// A name that nothing else has: for a request that may have to be sent again, or for this page among tabs.
#[must_use]
pub fn unique() -> String {
    let part = || (Math::random() * 1e12).floor();
    format!("{:012.0}{:012.0}", part(), part())
}
