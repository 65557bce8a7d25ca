//! The sheet on which somebody rates what they see.

use leptos::prelude::*;
use qponder_shared::study::sheet::key_of;
use qponder_shared::study::{Preference, StudyTask, Task, check};
use qponder_shared::{Attribute, Level};
use web_sys::{HtmlInputElement, SubmitEvent};

use crate::annotating::Asking;
use crate::format::{capitalised, sentence};
use crate::parts::level_buttons::LevelButtons;
use crate::state::App;

/// The controls for one task.
#[component]
pub fn RatingSheet(
    /// What is rated.
    task: Task,
) -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let chosen = Signal::derive(move || work.sheet.with(|sheet| sheet.level));
    let choose = Callback::new(move |level: Level| work.change(app, |sheet| sheet.level = Some(level)));
    let kind = task.task;
    view! {
        {if kind == StudyTask::Pairs { view! { <PairButtons/> }.into_any() } else { view! {
            <h2>"The whole image"</h2>
            <LevelButtons label="The whole image".to_owned() chosen choose/>
        }.into_any() }}
        {(kind == StudyTask::Attributes).then(|| view! { <AttributeButtons/> })}
        <p class="sheet-flag" hidden=move || work.sheet.with(|sheet| sheet.flag.is_empty())>
            "Flagged: "{move || work.sheet.with(|sheet| sheet.flag.clone())}
        </p>
        <Ask/>
        <div class="sheet-actions">
            <button class="button is-primary" title="Go on (Enter)" on:click=move |_| work.submit(app)>"Next"</button>
            <button class="button" title="Undo (Z)" disabled=move || !work.can_undo.get() on:click=move |_| work.undo()>"Undo"</button>
            <button class="button" title="Redo (Y)" disabled=move || !work.can_redo.get() on:click=move |_| work.redo()>"Redo"</button>
            <span class="spring"></span>
            <button class="button is-plain" title="Skip (X)" on:click=move |_| work.asking.set(Some(Asking::Skip))>"Skip"</button>
            <button class="button is-plain" title="Flag (G)" on:click=move |_| work.asking.set(Some(Asking::Flag))>"Flag"</button>
        </div>
    }
}

#[component]
fn AttributeButtons() -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    view! {
        <h2>"Attributes"</h2>
        <ul class="sheet-attributes">
            {Attribute::ALL.map(|attribute| {
                let chosen = Signal::derive(move || work.sheet.with(|sheet| sheet.level_of(attribute)));
                let choose = Callback::new(move |level: Level| {
                    work.change(app, |sheet| {
                        // The same again takes it back.
                        let level = Some(level).filter(|level| sheet.level_of(attribute) != Some(*level));
                        sheet.rate(attribute, level);
                    });
                });
                let is_active = move || work.sheet.with(|sheet| sheet.active == Some(attribute));
                view! {
                    <li class:is-active=is_active>
                        <button type="button" class="sheet-attribute" aria-pressed=move || is_active().to_string()
                            on:click=move |_| work.change(app, |sheet| {
                                sheet.active = if sheet.active == Some(attribute) { None } else { Some(attribute) };
                            })>
                            <kbd>{key_of(attribute).to_ascii_uppercase().to_string()}</kbd>" "{capitalised(attribute.word())}
                        </button>
                        <LevelButtons label=capitalised(attribute.word()) chosen choose words=false/>
                        <span class="muted">{move || chosen.get().map(Level::word)}</span>
                    </li>
                }
            })}
        </ul>
    }
}

#[component]
fn PairButtons() -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let side = move |number: usize, label: &'static str| {
        view! {
            <button type="button" class="button" aria-pressed=move || (work.side.get() == number).to_string()
                on:click=move |_| work.side.set(number)>{label}</button>
        }
    };
    let choice = move |preference: Preference, key: &'static str, label: &'static str| {
        let is_chosen = move || work.sheet.with(|sheet| sheet.preference == Some(preference));
        view! {
            <button type="button" class="button" aria-pressed=move || is_chosen().to_string()
                on:click=move |_| work.change(app, |sheet| sheet.preference = Some(preference))>
                <kbd>{key}</kbd>" "{label}
            </button>
        }
    };
    view! {
        <h2>"In view"</h2>
        <div class="sheet-pair" role="group" aria-label="In view">
            {side(0, "First")}{side(1, "Second")}<span class="muted"><kbd>"Space"</kbd>" flips"</span>
        </div>
        <h2>"Which is better?"</h2>
        <div class="sheet-pair" role="group" aria-label="Which is better?">
            {choice(Preference::First, "1", "First")}{choice(Preference::Same, "2", "Same")}
            {choice(Preference::Second, "3", "Second")}
        </div>
    }
}

/// Asks why an item is skipped, or what is wrong with it.
#[component]
fn Ask() -> impl IntoView {
    let app = App::get();
    let work = app.annotating;
    let words = RwSignal::new(String::new());
    let input = NodeRef::<leptos::html::Input>::new();
    Effect::new(move || {
        if let Some(asking) = work.asking.get() {
            words.set(match asking {
                Asking::Skip => String::new(),
                Asking::Flag => work.sheet.with_untracked(|sheet| sheet.flag.clone()),
            });
            if let Some(input) = input.get() {
                let _ = input.focus();
            }
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let text = match check::text("what you say", &words.read_untracked(), 0, check::MAX_COMMENT) {
            Ok(text) => text,
            Err(why) => return app.toasts.complain(sentence(&why)),
        };
        match work.asking.get_untracked() {
            Some(Asking::Skip) if text.is_empty() => {
                app.toasts.say("Say in a word why, such as: it does not load.")
            }
            Some(Asking::Skip) => work.skip(app, &text),
            Some(Asking::Flag) => {
                work.change(app, |sheet| sheet.flag = text);
                work.asking.set(None);
            }
            None => {}
        }
    };
    view! {
        <form class="sheet-ask" hidden=move || work.asking.get().is_none() on:submit=submit>
            <label for="ask">{move || match work.asking.get() {
                Some(Asking::Flag) => "What is wrong with the image? You can still rate it.",
                _ => "Why do you skip it?",
            }}</label>
            <input id="ask" node_ref=input autocomplete="off" list="ask-reasons" prop:value=move || words.get()
                on:input=move |event| words.set(event_target::<HtmlInputElement>(&event).value())
                on:keydown=move |event| if event.key() == "Escape" { work.asking.set(None) }/>
            <datalist id="ask-reasons">
                <option value="It does not load"></option><option value="It should not be in this study"></option>
                <option value="I can’t judge it"></option>
            </datalist>
            <button class="button">"OK"</button>
            <button type="button" class="button is-plain" on:click=move |_| work.asking.set(None)>"Cancel"</button>
        </form>
    }
}
