//! Rating a study: the image, the sheet, and afterwards what a model says of it.

use leptos::prelude::*;
use qponder_shared::StudyId;
use qponder_shared::study::{Feedback, Task};

use crate::annotating::{Saved, Shown, Step};
use crate::format;
use crate::parts::correction::{Change, CorrectionEditor};
use crate::parts::guidelines::Guidelines;
use crate::parts::icon::{Icon, Shape};
use crate::parts::other_tab::OtherTab;
use crate::parts::rating::RatingSheet;
use crate::parts::viewer::ViewerStage;
use crate::route::{Route, follow_link};
use crate::state::App;

/// The page at `/studies/{id}/annotate`.
#[component]
pub fn AnnotatePage(
    /// Which study.
    id: StudyId,
) -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    work.open(app, id);
    Effect::new(move || {
        work.study.with(|study| {
            if let Some(study) = study {
                document().set_title(&format!("{} · Q-Ponder", study.name));
            }
        });
    });
    // The stage is drawn anew for another image only.
    let image = Memo::new(move |_| {
        let task = work.task.get()?;
        task.images.get(work.side.get().min(task.images.len() - 1)).cloned()
    });
    let is_rating = Memo::new(move |_| work.step.with(|step| *step == Step::Rate));
    view! {
        <div class="image-page annotate-page">
            {move || match image.get() {
                Some(image) => {
                    let name = "The image to rate".to_owned();
                    view! { <ViewerStage id=image.id width=image.width height=image.height name keeps_zoom=true/> }.into_any()
                }
                None => view! { <div class="stage-frame"></div> }.into_any(),
            }}
            <div class="panel">
                <Head id/>
                <OtherTab/>
                {move || match (is_rating.get(), work.task.get()) {
                    (true, Some(task)) => view! { <Rate task/> }.into_any(),
                    _ => view! { <Otherwise id/> }.into_any(),
                }}
            </div>
        </div>
    }
}

/// How far, and whether all is safe.
#[component]
fn Head(id: StudyId) -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let name =
        move || work.study.with(|study| study.as_ref().map(|study| study.name.clone()).unwrap_or_default());
    let saved = move || match (work.unsent.get(), work.saved.get()) {
        (0, Saved::Nothing) => "All votes are saved".to_owned(),
        (0, Saved::Saving) => "Saving…".to_owned(),
        (0, Saved::Kept) => "Draft saved".to_owned(),
        (_, Saved::Here) => "Kept on this machine; the server does not answer".to_owned(),
        (_, Saved::Elsewhere) => "Kept on this machine".to_owned(),
        (_, Saved::TooLong) => "Too long to be saved: make it shorter".to_owned(),
        (unsent, _) => format!("Sending {}…", format::plural(unsent, "vote")),
    };
    view! {
        <header class="panel-head">
            <div class="panel-title">
                <h1>{name}</h1>
                <p class="muted"><span class="saved" role="status">{saved}</span></p>
            </div>
            <a class="icon-button" href=Route::Study(id).path() title="Back to the study (Esc)" aria-label="Back to the study"
                on:click=follow_link(app, Route::Study(id))>
                <Icon shape=Shape::Close/>
            </a>
        </header>
        <div class="work-progress">
            <progress aria-label="Progress" max=move || work.progress.get().total.max(1).to_string()
                prop:value=move || work.progress.get().done as f64></progress>
            <span class="muted tabular">{move || {
                let progress = work.progress.get();
                let returned = match progress.returned {
                    0 => String::new(),
                    returned => format!(", {returned} came back"),
                };
                format!("{} of {}{returned}", progress.done, progress.total)
            }}</span>
        </div>
    }
}

#[component]
fn Rate(task: Task) -> impl IntoView {
    let work = App::get().annotating;
    let is_training = task.is_training;
    let guidelines = work.study.with_untracked(|study| study.as_ref().map(|study| study.guidelines.clone()));
    let guidelines = guidelines.filter(|text| !text.is_empty());
    view! {
        {is_training.then(|| view! { <p class="note">"Training: afterwards you see what was expected. It does not count."</p> })}
        <RatingSheet task/>
        {guidelines.map(|text| view! {
            <details class="disclosure"><summary>"Guidelines"</summary><Guidelines text/></details>
        })}
    }
}

/// Everything but rating.
#[component]
fn Otherwise(id: StudyId) -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let go_on = move |label: &'static str| {
        view! { <button class="button is-primary" on:click=move |_| work.go_on(app)>{label}</button> }
    };
    move || {
        match work.step.get() {
        Step::Loading | Step::Sending => view! { <p class="status is-live">"One moment…"</p> }.into_any(),
        Step::Rate => ().into_any(),
        Step::Feedback(feedback) => view! {
            <div class="note" role="status"><p>{describe(&feedback)}</p></div>
            {go_on("Go on")}
        }
        .into_any(),
        Step::Correct(shown) if shown.assessments.is_empty() && shown.thread.is_none() => view! {
            <p class="note">"Your vote is in. No model has reasoned about this image yet, so there is nothing to correct."</p>
            {go_on("Go on")}
        }
        .into_any(),
        Step::Correct(shown) => view! { <Correct shown=*shown/> }.into_any(),
        Step::Break => view! {
            <div class="note">
                <p><strong>"Time for a break."</strong>" Eyes tire before one notices, and tired votes are noisy. Everything is saved."</p>
            </div>
            {go_on("I am back")}
        }
        .into_any(),
        Step::Done => view! {
            <div class="note">
                <p><strong>"That was all."</strong>" There is nothing left for you in this study. Thank you."</p>
            </div>
            <div class="sheet-actions">
                <a class="button is-primary" href=Route::Study(id).path() on:click=follow_link(app, Route::Study(id))>"To the study"</a>
                <button class="button" disabled=move || !work.can_undo.get() on:click=move |_| work.undo()>"Undo"</button>
            </div>
        }
        .into_any(),
        Step::Failed(why) => view! {
            <div class="warning" role="alert"><p>{why}</p></div>
            <button class="button" on:click=move |_| work.open(app, id)>"Try again"</button>
        }
        .into_any(),
    }
    }
}

fn describe(feedback: &Feedback) -> String {
    let expected = match (feedback.expected, feedback.expected_preference) {
        (Some(score), _) => format!("{} ({score})", score.level().word()),
        (None, Some(preference)) => match preference.sign() {
            -1 => "the first is better".to_owned(),
            0 => "they are the same".to_owned(),
            _ => "the second is better".to_owned(),
        },
        (None, None) => return "Thank you. Nothing is expected here: look closely, and go on.".to_owned(),
    };
    let own = App::get().annotating.sheet.with_untracked(|sheet| sheet.level);
    match (own, feedback.expected) {
        (Some(own), Some(score)) if (own.value() - score.get()).abs() <= feedback.tolerance => {
            format!("Expected: {expected}. You said {}: that fits.", own.word())
        }
        (Some(own), Some(_)) => {
            format!("Expected: {expected}. You said {}: look again before you go on.", own.word())
        }
        _ => format!("Expected: {expected}."),
    }
}

/// What a model says, to be accepted or corrected.
#[component]
fn Correct(shown: Shown) -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let chosen = work.sheet.with_untracked(|sheet| sheet.correction.as_ref().and_then(|now| now.source));
    let source = shown.thread.as_ref().and_then(|thread| thread.source.clone());
    let all =
        if shown.assessments.is_empty() { source.into_iter().collect() } else { shown.assessments.clone() };
    let original = all.iter().find(|one| Some(one.id) == chosen).or(all.first()).cloned();
    let model = original.as_ref().map(|one| one.model.clone()).unwrap_or_default();
    let response = original.map(|one| one.response).unwrap_or_default();
    let correction = Signal::derive(move || work.sheet.with(|sheet| sheet.correction.clone()));
    let change = Callback::new(move |change: Change| {
        work.change(app, |sheet| {
            if let Some(correction) = &mut sheet.correction {
                change.apply(correction);
            }
        });
    });
    let comments = shown.thread.as_ref().map(|thread| thread.reviews.clone()).unwrap_or_default();
    view! {
        {(!comments.is_empty()).then(|| view! {
            <section class="note" aria-label="Review">
                <p><strong>"It came back."</strong></p>
                {comments.iter().filter(|one| !one.comment.is_empty()).map(|one| view! {
                    <p><b>{one.author.clone()}</b>": "{one.comment.clone()}</p>
                }).collect_view()}
            </section>
        })}
        <h2>{format!("What {model} says")}</h2>
        <p class="muted">"On the left the original, on the right yours. Change what is wrong; what is right can stay."</p>
        <CorrectionEditor original=response correction change/>
        <div class="sheet-actions">
            <button class="button is-primary" on:click=move |_| work.send_correction(app)>"Send"</button>
            <button class="button" title="Undo (Z)" disabled=move || !work.can_undo.get() on:click=move |_| work.undo()>"Back to the vote"</button>
        </div>
    }
}
