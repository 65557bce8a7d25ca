//! What stands at every address until somebody signs in. The address stays, so that signing in leads there.

use leptos::prelude::*;

use crate::parts::sign_in::SignInForm;

/// The page of who is not signed in.
#[component]
pub fn SignInPage() -> impl IntoView {
    document().set_title("Sign in · Q-Ponder");
    view! {
        <section class="narrow">
            <h1>"Sign in"</h1>
            <SignInForm/>
            <p class="muted">
                "No account, or no password any more? Ask an administrator for a link. On a new server the link for the
                first one stands where the server was started."
            </p>
        </section>
    }
}
