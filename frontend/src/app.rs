//! The frame around every page: header, notices, drop target, toasts, keys.

use leptos::ev;
use leptos::html::Main;
use leptos::prelude::*;
use qponder_shared::Scope;
use wasm_bindgen::JsCast as _;

use crate::annotating;
use crate::dropped::listed;
use crate::keys;
use crate::pages::account::AccountPage;
use crate::pages::annotate::AnnotatePage;
use crate::pages::audit::AuditPage;
use crate::pages::compare::ComparePage;
use crate::pages::compare_image::CompareImagePage;
use crate::pages::compare_jobs::CompareJobsPage;
use crate::pages::gallery::GalleryPage;
use crate::pages::health::HealthPage;
use crate::pages::image::ImagePage;
use crate::pages::job::JobPage;
use crate::pages::jobs::JobsPage;
use crate::pages::model::ModelPage;
use crate::pages::models::ModelsPage;
use crate::pages::quick_score::QuickScorePage;
use crate::pages::review::ReviewPage;
use crate::pages::side_by_side::SideBySidePage;
use crate::pages::sign_in::SignInPage;
use crate::pages::statistics::StatisticsPage;
use crate::pages::storage::StoragePage;
use crate::pages::studies::StudiesPage;
use crate::pages::study::StudyPage;
use crate::pages::transfers::TransfersPage;
use crate::pages::unknown::UnknownPage;
use crate::pages::users::UsersPage;
use crate::pages::welcome::WelcomePage;
use crate::parts::connection::Connection;
use crate::parts::drop_target::DropTarget;
use crate::parts::header::Header;
use crate::parts::help::Help;
use crate::parts::sign_in::SignInDialog;
use crate::parts::toasts::ToastList;
use crate::parts::uploads::UploadList;
use crate::route::{Route, follow_link};
use crate::session::SessionState;
use crate::settings;
use crate::state::App as State;

/// The app.
#[component]
pub fn App() -> impl IntoView {
    let app = State::new();
    provide_context(app);
    app.reach();
    keys::listen(app);
    app.annotating.listen();
    listen_to_window(app);

    Effect::new(move || {
        let theme = app.theme.get();
        settings::store("theme", theme.name());
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", theme.name());
        }
    });
    Effect::new(move || settings::store("mode", app.mode.get().name()));

    let main = NodeRef::<Main>::new();
    let skip = move |event: web_sys::MouseEvent| {
        event.prevent_default();
        if let Some(main) = main.get_untracked() {
            let _ = main.focus();
        }
    };
    // A link that was followed is gone with its page: without this the focus would start over.
    Effect::new(move |before: Option<Route>| {
        let route = app.route.get();
        if before.is_some_and(|before| before != route)
            && let Some(main) = main.get_untracked()
        {
            let _ = main.focus();
        }
        route
    });
    // Only who: a page is not drawn anew because a session was lost or found again.
    let who = Memo::new(move |_| match app.session.state() {
        SessionState::Unknown => Who::Unknown,
        SessionState::Out => Who::Nobody,
        SessionState::In(_) | SessionState::Lost(_) => Who::Somebody,
    });
    view! {
        <a class="skip" href="#main" on:click=skip>"Skip to the content"</a>
        <Header/>
        <Connection/>
        <main id="main" tabindex="-1" node_ref=main class:is-image=move || matches!(app.route.get(), Route::Image(_) | Route::Annotate(_))>
            <UploadList/>
            {move || match (app.route.get(), who.get()) {
                (Route::Welcome, _) => view! { <WelcomePage/> }.into_any(),
                // It needs no server, so nobody has to be signed in.
                (Route::QuickScore, _) => view! { <QuickScorePage/> }.into_any(),
                (_, Who::Unknown) => ().into_any(),
                (_, Who::Nobody) => view! { <SignInPage/> }.into_any(),
                (route, Who::Somebody) => show(app, route),
            }}
        </main>
        <ToastList/>
        <DropTarget/>
        <Help/>
        <SignInDialog/>
        <div class="sr" role="status" aria-live="polite">{move || app.announcement.get()}</div>
    }
}

/// Whom the page is drawn for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Unknown,
    Nobody,
    Somebody,
}

fn show(app: State, route: Route) -> AnyView {
    match route {
        Route::Users | Route::Audit | Route::Storage | Route::Health
            if !app.session.may_untracked(Scope::Admin) =>
        {
            refuse(app, Scope::Admin)
        }
        Route::Review(_) | Route::Statistics(_) | Route::Transfers
            if !app.session.may_untracked(Scope::Review) =>
        {
            refuse(app, Scope::Review)
        }
        Route::Jobs
        | Route::TrainOn(_)
        | Route::Job(_)
        | Route::CompareJobs(_)
        | Route::Models
        | Route::Model(_)
            if !app.session.may_untracked(Scope::Train) =>
        {
            refuse(app, Scope::Train)
        }
        Route::Jobs => view! { <JobsPage dataset=None/> }.into_any(),
        Route::TrainOn(dataset) => view! { <JobsPage dataset=Some(dataset)/> }.into_any(),
        Route::CompareJobs(jobs) => view! { <CompareJobsPage jobs/> }.into_any(),
        Route::QuickScore => view! { <QuickScorePage/> }.into_any(),
        Route::Models => view! { <ModelsPage/> }.into_any(),
        Route::Model(id) => view! { <ModelPage id/> }.into_any(),
        Route::Job(id) => view! { <JobPage id/> }.into_any(),
        Route::Studies => view! { <StudiesPage/> }.into_any(),
        Route::Transfers => view! { <TransfersPage/> }.into_any(),
        Route::Study(id) => view! { <StudyPage id/> }.into_any(),
        Route::Annotate(id) => view! { <AnnotatePage id/> }.into_any(),
        Route::Statistics(id) => view! { <StatisticsPage id/> }.into_any(),
        Route::Review(id) => view! { <ReviewPage id/> }.into_any(),
        Route::Compare => view! { <ComparePage/> }.into_any(),
        Route::CompareImage(id) => view! { <CompareImagePage id/> }.into_any(),
        Route::SideBySide(images) => view! { <SideBySidePage images/> }.into_any(),
        Route::Gallery => view! { <GalleryPage/> }.into_any(),
        Route::Image(id) => view! { <ImagePage id/> }.into_any(),
        Route::Welcome => view! { <WelcomePage/> }.into_any(),
        Route::Account => view! { <AccountPage/> }.into_any(),
        Route::Users => view! { <UsersPage/> }.into_any(),
        Route::Audit => view! { <AuditPage/> }.into_any(),
        Route::Storage => view! { <StoragePage/> }.into_any(),
        Route::Health => view! { <HealthPage/> }.into_any(),
        Route::Unknown => view! { <UnknownPage what="page"/> }.into_any(),
    }
}

/// Instead of a page that somebody's role does not open.
fn refuse(app: State, scope: Scope) -> AnyView {
    view! {
        <section class="message">
            <h1>"Not for your role"</h1>
            <p>{format!("This page needs the scope {scope}. Ask an administrator.")}</p>
            <a class="button" href="/" on:click=follow_link(app, Route::Gallery)>"To the gallery"</a>
        </section>
    }
    .into_any()
}

fn listen_to_window(app: State) {
    if let Ok(history) = window().history() {
        // Pages restore their own scroll position once they have something to scroll.
        let _ = history.set_scroll_restoration(web_sys::ScrollRestoration::Manual);
    }
    // These listeners live as long as the page: their handles are not kept.
    window_event_listener(ev::popstate, move |_| app.route.set(Route::current()));
    window_event_listener(ev::pagehide, move |_| {
        annotating::leave_name();
        crate::quick::leave();
        app.commit_removals_on_leave();
    });
    window_event_listener_untyped("paste", move |event| {
        let Some(event) = event.dyn_ref::<web_sys::ClipboardEvent>() else { return };
        if let Some(files) = event.clipboard_data().and_then(|data| data.files())
            && files.length() > 0
        {
            event.prevent_default();
            app.take(listed(&files));
        }
    });
}
