//! The review queue, and one annotation with all its versions.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::ThreadId;
use qponder_shared::study::{
    Comment, Correction, CreateReview, QueueSort, Thread, ThreadState, ThreadSummary, Verdict, check,
};
use web_sys::{HtmlSelectElement, HtmlTextAreaElement};

use crate::api;
use crate::format::{self, capitalised, sentence};
use crate::parts::correction::{Change, CorrectionEditor};
use crate::route::{Route, follow_link, go};
use crate::state::App;
use crate::studies;

/// The pages at `/review` and `/review/{id}`.
#[component]
pub fn ReviewPage(
    /// The annotation that is open.
    id: Option<ThreadId>,
) -> impl IntoView {
    document().set_title("Review · Q-Ponder");
    match id {
        None => view! { <Queue/> }.into_any(),
        Some(id) => view! { <Open id/> }.into_any(),
    }
}

#[component]
fn Queue() -> impl IntoView {
    let app = App::get();
    let state = RwSignal::new(ThreadState::Submitted);
    let sort = RwSignal::new(QueueSort::Disagreement);
    let list = RwSignal::new(None::<Vec<ThreadSummary>>);
    let next = RwSignal::new(None::<String>);
    let load = move |cursor: Option<String>| {
        let asked = (state.get_untracked(), sort.get_untracked());
        spawn_local(async move {
            match studies::queue(asked.0, asked.1, cursor.as_deref()).await {
                // An answer to an earlier choice is of no interest any more.
                Ok(page)
                    if state.try_get_untracked() == Some(asked.0)
                        && sort.try_get_untracked() == Some(asked.1) =>
                {
                    list.try_update(|list| {
                        let list = list.get_or_insert_default();
                        if cursor.is_none() {
                            list.clear();
                        }
                        list.extend(page.items);
                    });
                    let _ = next.try_set(page.next);
                }
                Ok(_) => {}
                Err(failure) => app.report(&failure),
            }
        });
    };
    Effect::new(move || {
        let _ = (state.get(), sort.get());
        load(None);
    });
    let choose_state = move |event: web_sys::Event| {
        if let Some(chosen) = ThreadState::of_name(&event_target::<HtmlSelectElement>(&event).value()) {
            state.set(chosen);
        }
    };
    let choose_sort = move |event: web_sys::Event| {
        let chosen = event_target::<HtmlSelectElement>(&event).value();
        if let Some(chosen) = QueueSort::ALL.into_iter().find(|one| one.name() == chosen) {
            sort.set(chosen);
        }
    };
    view! {
        <div class="page is-wide">
            <h1>"Review"</h1>
            <div class="form is-row">
                <div class="field">
                    <label for="queue-state">"Show"</label>
                    <select id="queue-state" on:change=choose_state>
                        {ThreadState::ALL.map(|one| view! { <option value=one.name()>{capitalised(one.name())}</option> })}
                    </select>
                </div>
                <div class="field">
                    <label for="queue-sort">"First"</label>
                    <select id="queue-sort" on:change=choose_sort>
                        <option value="disagreement">"Furthest from the model"</option>
                        <option value="confidence">"Where the model was least sure"</option>
                        <option value="age">"Oldest"</option>
                    </select>
                </div>
            </div>
            <Show when=move || list.with(|list| list.as_ref().is_some_and(Vec::is_empty))>
                <p class="muted">"Nothing here. Annotations come from studies of reasoning."</p>
            </Show>
            <ul class="rows">
                <For each=move || list.get().unwrap_or_default() key=|one| (one.id, one.version) let:one>
                    <li>
                        <img class="row-picture" src=api::thumbnail_url(one.image) alt=""/>
                        <div class="row-main">
                            <p class="row-title">
                                <a href=Route::Review(Some(one.id)).path() on:click=follow_link(app, Route::Review(Some(one.id)))>
                                    {one.image_name.clone()}
                                </a>
                                {one.is_own.then_some(" · yours")}
                            </p>
                            <p class="muted">{format!(
                                "{} · {} · version {} · {}",
                                one.study_name, one.author, one.version, format::time(&one.updated_at)
                            )}</p>
                        </div>
                        <span class="tabular muted">{one.disagreement.map(|apart| format!("{apart:.2} levels apart"))}</span>
                    </li>
                </For>
            </ul>
            <Show when=move || next.with(Option::is_some)>
                <button class="button more" on:click=move |_| load(next.get_untracked())>"Show more"</button>
            </Show>
        </div>
    }
}

#[component]
fn Open(id: ThreadId) -> impl IntoView {
    let app = App::get();
    let thread = RwSignal::new(None::<Thread>);
    let failure = RwSignal::new(None::<String>);
    spawn_local(async move {
        match studies::thread(id).await {
            Ok(found) => drop(thread.try_set(Some(found))),
            Err(reason) => drop(failure.try_set(Some(sentence(&reason)))),
        }
    });
    move || {
        match (thread.get(), failure.get()) {
        (Some(now), _) => view! { <Whole now thread/> }.into_any(),
        (None, Some(failure)) => view! {
            <section class="message" role="alert">
                <h1>"The annotation could not be loaded"</h1>
                <p>{failure}</p>
                <a class="button" href="/review" on:click=follow_link(app, Route::Review(None))>"To the queue"</a>
            </section>
        }
        .into_any(),
        (None, None) => view! { <div class="page" aria-busy="true"><div class="skeleton block"></div></div> }.into_any(),
    }
    }
}

#[component]
fn Whole(now: Thread, thread: RwSignal<Option<Thread>>) -> impl IntoView {
    let app = App::get();
    let summary = now.summary.clone();
    let id = summary.id;
    let newest = now.versions.last().map(|one| one.response.clone()).unwrap_or_default();
    let source = now.source.clone();
    let began = Correction::of(&newest, source.as_ref().map(|source| source.id));
    let correction = RwSignal::new(Some(began.clone()));
    let comment = RwSignal::new(String::new());
    let is_busy = RwSignal::new(false);
    let change = Callback::new(move |change: Change| {
        correction.update(|now| {
            if let Some(now) = now {
                change.apply(now);
            }
        });
    });
    let is_changed = {
        let began = began.clone();
        Memo::new(move |_| correction.with(|now| now.as_ref() != Some(&began)))
    };
    let send = move |verdict: Verdict| {
        let text = match (verdict, correction.get_untracked()) {
            (Verdict::Fixed, Some(correction)) => match correction.text() {
                Ok(text) => Some(text),
                Err(why) => return app.toasts.complain(sentence(&why)),
            },
            _ => None,
        };
        if verdict == Verdict::Returned && comment.with_untracked(|comment| comment.trim().is_empty()) {
            return app.toasts.say("Say what should be different, then return it.");
        }
        if let Err(why) = check::text("the comment", &comment.read_untracked(), 0, check::MAX_COMMENT) {
            return app.toasts.complain(sentence(&why));
        }
        if is_busy.get_untracked() {
            return;
        }
        let body = CreateReview { version: summary.version, verdict, comment: comment.get_untracked(), text };
        is_busy.set(true);
        spawn_local(async move {
            let outcome = studies::review(id, &body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(_) => {
                    app.toasts.say(format!("{}.", capitalised(verdict.name())));
                    go(app, Route::Review(None));
                }
                Err(failure) => {
                    app.report(&failure);
                    // What was typed stays in view until the newer version was looked at.
                    if failure.status() == Some(409) {
                        app.toasts.complain("Open it again from the queue to see the newer version.");
                    }
                }
            }
        });
    };
    let say = move |_| {
        if let Err(why) = check::text("the comment", &comment.read_untracked(), 1, check::MAX_COMMENT) {
            return app.toasts.complain(sentence(&why));
        }
        if is_busy.get_untracked() {
            return;
        }
        let body = Comment { comment: comment.get_untracked() };
        is_busy.set(true);
        spawn_local(async move {
            let outcome = studies::comment(id, &body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(now) => drop(thread.try_set(Some(now))),
                Err(failure) => app.report(&failure),
            }
        });
    };
    let is_waiting = now.summary.state == ThreadState::Submitted;
    let is_own = now.summary.is_own && app.session.me().is_some_and(|me| me.user.is_some());
    let original = source.as_ref().map(|source| source.response.clone()).unwrap_or_default();
    let model = source.map_or_else(|| "no model’s answer".to_owned(), |source| source.model);
    view! {
        <div class="page is-wide">
            <p><a href="/review" on:click=follow_link(app, Route::Review(None))>"Review"</a></p>
            <div class="review">
                <figure>
                    <a href=Route::Image(now.summary.image).path() on:click=follow_link(app, Route::Image(now.summary.image))>
                        <img src=api::rendering_url(now.summary.image) alt=now.summary.image_name.clone()/>
                    </a>
                    <figcaption class="muted">{now.summary.image_name.clone()}</figcaption>
                </figure>
                <div>
                    <h1>{format!("{} on {}", now.summary.author, now.summary.image_name)}</h1>
                    <p class="muted">{format!(
                        "{} · {} · version {} · beside it {model}",
                        now.summary.study_name, now.summary.state.name(), now.summary.version
                    )}</p>
                    <CorrectionEditor original correction=Signal::derive(move || correction.get()) change/>
                    <div class="field">
                        <label for="review-comment">"Comment"</label>
                        <textarea id="review-comment" rows="3" prop:value=move || comment.get()
                            on:input=move |event| comment.set(event_target::<HtmlTextAreaElement>(&event).value())></textarea>
                    </div>
                    <div class="sheet-actions">
                        {(is_waiting && !is_own).then(|| view! {
                            <button class="button is-primary" disabled=move || is_busy.get()
                                on:click=move |_| send(if is_changed.get_untracked() { Verdict::Fixed } else { Verdict::Accepted })>
                                {move || if is_changed.get() { "Fix and accept" } else { "Accept" }}
                            </button>
                            <button class="button" disabled=move || is_busy.get() on:click=move |_| send(Verdict::Returned)>"Return"</button>
                        })}
                        {(now.summary.state == ThreadState::Accepted && !is_own).then(|| view! {
                            <button class="button" disabled=move || is_busy.get() on:click=move |_| send(Verdict::Returned)>"Send it back"</button>
                        })}
                        <button class="button is-plain" disabled=move || is_busy.get() on:click=say>"Only comment"</button>
                    </div>
                    {is_own.then(|| view! { <p class="note">"This is your own work: another reviewer has to look at it."</p> })}
                    <History now=now.clone()/>
                </div>
            </div>
        </div>
    }
}

/// Everything that was ever written, in its order.
#[component]
fn History(now: Thread) -> impl IntoView {
    let mut lines: Vec<(String, AnyView)> = Vec::new();
    for version in &now.versions {
        let head = format!("{} wrote version {}", version.author, version.version);
        let text = version.text.clone();
        let at = format::time(&version.created_at);
        lines.push((version.created_at.clone(), view! {
            <li>
                <details><summary>{head}<span class="muted">{format!(" · {at}")}</span></summary><pre>{text}</pre></details>
            </li>
        }.into_any()));
    }
    for review in &now.reviews {
        let what = match review.verdict {
            Verdict::Accepted => "accepted version",
            Verdict::Fixed => "fixed and accepted version",
            Verdict::Returned => "returned version",
            Verdict::Comment => "commented on version",
        };
        let head = format!("{} {what} {}", review.author, review.version);
        let (comment, at) = (review.comment.clone(), format::time(&review.created_at));
        lines.push((review.created_at.clone(), view! {
            <li><p>{head}<span class="muted">{format!(" · {at}")}</span></p>{(!comment.is_empty()).then(|| view! { <p class="said">{comment}</p> })}</li>
        }.into_any()));
    }
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    view! {
        <section aria-labelledby="history">
            <h2 id="history">"History"</h2>
            <ol class="thread">{lines.into_iter().map(|(_, line)| line).collect_view()}</ol>
        </section>
    }
}
