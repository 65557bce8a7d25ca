//! A form for an export: what, as which file, which part of it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;
use qponder_shared::study::dataset::Dataset;
use qponder_shared::study::{ItemKind, Study};
use qponder_shared::subjective::Screening;
use qponder_shared::transfer::{
    AnswerFilter, CreateExport, ExportFormat, ExportSource, RowFilter, SourceKind, Transfer, VoteFilter,
};
use qponder_shared::{DatasetId, StudyId};
use web_sys::{HtmlInputElement, HtmlSelectElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::field::FormError;
use crate::state::App;
use crate::{studies, transferring};

/// The chosen values of the form.
#[derive(Clone, Copy)]
struct Wish {
    what: RwSignal<SourceKind>,
    study: RwSignal<Option<StudyId>>,
    dataset: RwSignal<Option<DatasetId>>,
    format: RwSignal<ExportFormat>,
    with_images: RwSignal<bool>,
    counted: RwSignal<bool>,
    flagged: RwSignal<bool>,
    kind: RwSignal<Option<ItemKind>>,
    screening: RwSignal<Screening>,
    only_answered: RwSignal<bool>,
    min_votes: RwSignal<String>,
    split: RwSignal<Option<Split>>,
    model: RwSignal<String>,
    mode: RwSignal<Option<Mode>>,
    since: RwSignal<String>,
    until: RwSignal<String>,
}

impl Wish {
    fn new() -> Self {
        Self {
            what: RwSignal::new(SourceKind::Votes),
            study: RwSignal::new(None),
            dataset: RwSignal::new(None),
            format: RwSignal::new(ExportFormat::Csv),
            with_images: RwSignal::new(false),
            counted: RwSignal::new(false),
            flagged: RwSignal::new(false),
            kind: RwSignal::new(None),
            screening: RwSignal::new(Screening::None),
            only_answered: RwSignal::new(false),
            min_votes: RwSignal::new("0".to_owned()),
            split: RwSignal::new(None),
            model: RwSignal::new(String::new()),
            mode: RwSignal::new(None),
            since: RwSignal::new(String::new()),
            until: RwSignal::new(String::new()),
        }
    }

    /// What is asked for, or what is missing.
    fn source(self) -> Result<ExportSource, &'static str> {
        let study = || self.study.get_untracked().ok_or("Choose a study.");
        let day = |day: RwSignal<String>| Some(day.get_untracked()).filter(|day| !day.is_empty());
        Ok(match self.what.get_untracked() {
            SourceKind::Votes => ExportSource::Votes(VoteFilter {
                study: study()?,
                subject: None,
                kind: self.kind.get_untracked(),
                counted: self.counted.get_untracked(),
                flagged: self.flagged.get_untracked(),
                since: day(self.since),
                until: day(self.until),
            }),
            SourceKind::Study => ExportSource::Study(RowFilter {
                study: study()?,
                screening: self.screening.get_untracked(),
                only_answered: self.only_answered.get_untracked(),
                min_votes: self
                    .min_votes
                    .get_untracked()
                    .trim()
                    .parse()
                    .map_err(|_| "How many votes at least? A whole number, such as 15.")?,
                validation_share: 0.0,
            }),
            SourceKind::Dataset => ExportSource::Dataset {
                id: self.dataset.get_untracked().ok_or("Choose a dataset.")?,
                split: self.split.get_untracked(),
            },
            SourceKind::Answers => ExportSource::Answers(AnswerFilter {
                model: Some(self.model.get_untracked()).filter(|model| !model.is_empty()),
                mode: self.mode.get_untracked(),
                study: None,
                since: day(self.since),
                until: day(self.until),
            }),
        })
    }
}

/// The form; `begun` gets what it began.
#[component]
pub fn ExportForm(begun: impl Fn(Transfer) + Copy + 'static) -> impl IntoView {
    let app = App::get();
    let wish = Wish::new();
    let (error, is_busy) = (RwSignal::new(None), RwSignal::new(false));
    let all_studies = RwSignal::new(Vec::<Study>::new());
    let all_datasets = RwSignal::new(Vec::<Dataset>::new());
    spawn_local(async move {
        match studies::studies(None).await {
            Ok(page) => {
                let _ = wish.study.try_set(page.items.first().map(|first| first.id));
                let _ = all_studies.try_set(page.items);
            }
            Err(failure) => app.report(&failure),
        }
        match studies::datasets().await {
            Ok(page) => {
                let _ = wish.dataset.try_set(page.items.first().map(|first| first.id));
                let _ = all_datasets.try_set(page.items);
            }
            Err(failure) => app.report(&failure),
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        error.set(None);
        let source = match wish.source() {
            Ok(source) => source,
            Err(missing) => return error.set(Some(missing.to_owned())),
        };
        let body = CreateExport {
            source,
            format: wish.format.get_untracked(),
            with_images: wish.with_images.get_untracked(),
        };
        if let Err(problem) = body.check() {
            return error.set(Some(sentence(&problem)));
        }
        is_busy.set(true);
        spawn_local(async move {
            let outcome = transferring::export(&body).await;
            let _ = is_busy.try_set(false);
            match outcome {
                Ok(transfer) => begun(transfer),
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    let choose = move |name: String| {
        let chosen = SourceKind::ALL.into_iter().find(|kind| kind.name() == name);
        let chosen = chosen.unwrap_or(SourceKind::Votes);
        wish.what.set(chosen);
        if !chosen.formats().contains(&wish.format.get_untracked()) {
            wish.format.set(ExportFormat::Csv);
        }
    };
    let is = move |kinds: &'static [SourceKind]| move || kinds.contains(&wish.what.get());
    view! {
        <section aria-labelledby="export">
            <h2 id="export">"Export"</h2>
            <form class="form" on:submit=submit>
                <div class="field">
                    <label for="export-what">"What"</label>
                    <select id="export-what" on:change=move |event| choose(chosen_of(&event))>
                        {SourceKind::ALL.map(|kind| view! { <option value=kind.name()>{kind.title()}</option> })}
                    </select>
                </div>
                <Show when=is(&[SourceKind::Votes, SourceKind::Study])>
                    <div class="field">
                        <label for="export-study">"Study"</label>
                        <select id="export-study" prop:value=move || wish.study.get().map(|id| id.to_string()).unwrap_or_default()
                            on:change=move |event| wish.study.set(chosen_of(&event).parse().ok())>
                            {move || all_studies.get().into_iter().map(|one| view! {
                                <option value=one.id.to_string()>{one.name}</option>
                            }).collect_view()}
                        </select>
                    </div>
                </Show>
                <Show when=is(&[SourceKind::Dataset])>
                    <div class="field">
                        <label for="export-dataset">"Dataset"</label>
                        <select id="export-dataset" prop:value=move || wish.dataset.get().map(|id| id.to_string()).unwrap_or_default()
                            on:change=move |event| wish.dataset.set(chosen_of(&event).parse().ok())>
                            {move || all_datasets.get().into_iter().map(|one| view! {
                                <option value=one.id.to_string()>{format!("{}, version {}", one.name, one.version)}</option>
                            }).collect_view()}
                        </select>
                    </div>
                </Show>
                <div class="field">
                    <label for="export-format">"As"</label>
                    <select id="export-format" prop:value=move || wish.format.get().name()
                        on:change=move |event| {
                            let name = chosen_of(&event);
                            let format = ExportFormat::ALL.into_iter().find(|format| format.name() == name);
                            wish.format.set(format.unwrap_or(ExportFormat::Csv));
                        }>
                        {move || wish.what.get().formats().iter().map(|format| view! {
                            <option value=format.name()>{format.title()}</option>
                        }).collect_view()}
                    </select>
                </div>
                <Filters wish is_votes=Signal::derive(is(&[SourceKind::Votes])) is_study=Signal::derive(is(&[SourceKind::Study]))
                    is_dataset=Signal::derive(is(&[SourceKind::Dataset])) is_answers=Signal::derive(is(&[SourceKind::Answers]))/>
                <Check label="With the images, as a zip" value=wish.with_images/>
                <button class="button is-primary" disabled=move || is_busy.get()>"Export"</button>
                <FormError message=error/>
            </form>
        </section>
    }
}

/// What narrows each kind of export.
#[component]
fn Filters(
    wish: Wish,
    is_votes: Signal<bool>,
    is_study: Signal<bool>,
    is_dataset: Signal<bool>,
    is_answers: Signal<bool>,
) -> impl IntoView {
    let choose_kind = move |event: web_sys::Event| wish.kind.set(ItemKind::of_name(&chosen_of(&event)));
    let choose_screening = move |event: web_sys::Event| {
        wish.screening.set(match chosen_of(&event).as_str() {
            "bt500" => Screening::Bt500,
            "pearson" => Screening::Pearson,
            "bias_corrected" => Screening::BiasCorrected,
            _ => Screening::None,
        });
    };
    let choose_split = move |event: web_sys::Event| {
        let name = chosen_of(&event);
        wish.split
            .set([Split::Train, Split::Val, Split::Test].into_iter().find(|split| split.name() == name));
    };
    let choose_mode = move |event: web_sys::Event| {
        let name = chosen_of(&event);
        wish.mode.set([Mode::Reason, Mode::Quick].into_iter().find(|mode| mode.name() == name));
    };
    view! {
        <Show when=move || is_votes.get()>
            <Choice label="On items" name="export-kind" choose=choose_kind
                options=&[("", "of every kind"), ("rated", "to be rated"), ("gold", "gold"), ("training", "training")]/>
            <Check label="Only votes that statistics use" value=wish.counted/>
            <Check label="Only votes with a flag" value=wish.flagged/>
        </Show>
        <Show when=move || is_study.get()>
            <Choice label="Whose votes" name="export-screening" choose=choose_screening options=&[
                ("none", "Everybody’s"), ("bt500", "Without outliers (BT.500)"),
                ("pearson", "Without those that do not correlate (P.913)"), ("bias_corrected", "Bias corrected (P.910)"),
            ]/>
            <Check label="Only images with an accepted correction" value=wish.only_answered/>
            <div class="field">
                <label for="export-least">"Votes an image must have"</label>
                <input id="export-least" type="number" min="0" prop:value=move || wish.min_votes.get()
                    on:input=move |event| wish.min_votes.set(event_target::<HtmlInputElement>(&event).value())/>
            </div>
        </Show>
        <Show when=move || is_dataset.get()>
            <Choice label="Split" name="export-split" choose=choose_split
                options=&[("", "all"), ("train", "train"), ("val", "val"), ("test", "test")]/>
        </Show>
        <Show when=move || is_answers.get()>
            <Choice label="Mode" name="export-mode" choose=choose_mode
                options=&[("", "both"), ("reason", "with reasoning"), ("quick", "quick scores")]/>
            <div class="field">
                <label for="export-model">"Model (empty for all)"</label>
                <input id="export-model" type="text" autocomplete="off" prop:value=move || wish.model.get()
                    on:input=move |event| wish.model.set(event_target::<HtmlInputElement>(&event).value())/>
            </div>
        </Show>
        <Show when=move || is_votes.get() || is_answers.get()>
            <Day label="From day" name="export-since" value=wish.since/>
            <Day label="To day" name="export-until" value=wish.until/>
        </Show>
    }
}

#[component]
fn Choice(
    label: &'static str,
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    choose: impl Fn(web_sys::Event) + 'static,
) -> impl IntoView {
    view! {
        <div class="field">
            <label for=name>{label}</label>
            <select id=name on:change=choose>
                {options.iter().map(|(value, text)| view! { <option value=*value>{*text}</option> }).collect_view()}
            </select>
        </div>
    }
}

#[component]
fn Day(label: &'static str, name: &'static str, value: RwSignal<String>) -> impl IntoView {
    view! {
        <div class="field">
            <label for=name>{label}" (UTC)"</label>
            <input id=name type="date" prop:value=move || value.get()
                on:input=move |event| value.set(event_target::<HtmlInputElement>(&event).value())/>
        </div>
    }
}

/// A box to tick.
#[component]
pub fn Check(label: &'static str, value: RwSignal<bool>) -> impl IntoView {
    view! {
        <label class="check">
            <input type="checkbox" prop:checked=move || value.get()
                on:change=move |event| value.set(event_target::<HtmlInputElement>(&event).checked())/>
            {label}
        </label>
    }
}

/// The value of the option that was chosen.
pub fn chosen_of(event: &web_sys::Event) -> String {
    event_target::<HtmlSelectElement>(event).value()
}
