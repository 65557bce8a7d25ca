//! One image: what every model says of it, attribute by attribute.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::{AssessmentStatus, Mode, ModelRole, Sampling};
use qponder_shared::compare::{Gap, ImageComparison, RewardTerms, gap, preferred};
use qponder_shared::grammar::Observation;
use qponder_shared::{AssessmentId, Attribute, ImageId, Score};
use web_sys::HtmlInputElement;

use crate::api::{self, Failure};
use crate::comparing;
use crate::format;
use crate::pages::unknown::UnknownPage;
use crate::parts::diff::DiffText;
use crate::parts::level_chip::{self, LevelChip};
use crate::parts::rewards::{Term, TermValue};
use crate::parts::score_line::ScoreLine;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::stream;

/// Letters of the columns.
const LETTERS: [char; 8] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'];

/// Columns that are shown when the page opens.
const FIRST: usize = 3;

/// The page at `/images/{id}/compare`.
#[component]
pub fn CompareImagePage(
    /// Which image.
    id: ImageId,
) -> impl IntoView {
    let app = App::get();
    window().scroll_to_with_x_and_y(0.0, 0.0);
    document().set_title("Compare · Q-Ponder");
    let found = RwSignal::new(None::<ImageComparison>);
    let failure = RwSignal::new(None::<Failure>);
    spawn_local(async move {
        if let Err(reason) = app.answers.load(app, id).await {
            app.report(&reason);
        }
    });
    // Rewards come from the server: they are asked for anew whenever an answer is complete.
    let complete = Memo::new(move |_| {
        let answers = app.answers.of(id);
        answers.iter().filter(|answer| !answer.is_live()).map(|answer| answer.id).collect::<Vec<_>>()
    });
    Effect::new(move || {
        // Read, not only tracked: a memo that nobody has read knows of nothing that it depends on.
        let _ = complete.get();
        spawn_local(async move {
            match comparing::of_image(id).await {
                Ok(comparison) => {
                    let known = comparison.models.iter().flat_map(|one| [&one.reason, &one.quick]);
                    app.answers.take(known.flatten().cloned().collect::<Vec<_>>());
                    let _ = found.try_set(Some(comparison));
                }
                Err(reason) => drop(failure.try_set(Some(reason))),
            }
        });
    });
    let is_found = Memo::new(move |_| found.with(Option::is_some));
    move || match (is_found.get(), failure.get()) {
        (true, _) => view! { <Loaded id found/> }.into_any(),
        (false, Some(failure)) if matches!(failure.status(), Some(400..500)) => {
            view! { <UnknownPage what="image"/> }.into_any()
        }
        (false, Some(failure)) => {
            view! { <section class="message" role="alert"><p>{failure.to_string()}</p></section> }.into_any()
        }
        (false, None) => {
            view! { <div class="page is-wide"><div class="skeleton block"></div></div> }.into_any()
        }
    }
}

/// What the table is made of.
#[derive(Clone, Copy)]
struct Table {
    app: App,
    id: ImageId,
    found: RwSignal<Option<ImageComparison>>,
    /// Models with a column, in the order of all.
    chosen: RwSignal<Vec<String>>,
}

impl Table {
    fn observation(self, model: &str, attribute: Attribute) -> Option<Observation> {
        let answer = self.app.answers.reason_of(self.id, model)?;
        answer.assessment.with(|assessment| {
            assessment.response.attributes.iter().find(|seen| seen.attribute == attribute).cloned()
        })
    }

    fn summary(self, model: &str) -> Option<String> {
        let answer = self.app.answers.reason_of(self.id, model)?;
        let summary = answer.assessment.with(|assessment| assessment.response.summary.clone());
        (!summary.is_empty()).then_some(summary)
    }

    fn score(self, model: &str) -> Option<Score> {
        let answer = self.app.answers.reason_of(self.id, model)?;
        answer.assessment.with(|assessment| assessment.score.or(assessment.response.score))
    }

    fn quick(self, model: &str) -> Option<Score> {
        self.found.with(|found| {
            let one = found.as_ref()?.models.iter().find(|one| one.model == model)?;
            one.quick.as_ref()?.score
        })
    }

    /// The terms of the answer that is shown.
    fn terms(self, model: &str) -> Option<RewardTerms> {
        let shown: AssessmentId = self.app.answers.reason_of(self.id, model)?.id;
        self.found.with(|found| {
            let one = found.as_ref()?.models.iter().find(|one| one.model == model)?;
            one.terms.filter(|_| one.reason.as_ref().is_some_and(|reason| reason.id == shown))
        })
    }

    fn is_served(self, model: &str) -> bool {
        self.app.info.with(|info| info.iter().flat_map(|info| &info.models).any(|one| one.name == model))
    }

    fn is_teacher(self, model: &str) -> bool {
        self.app.info.with(|info| {
            let mut all = info.iter().flat_map(|info| &info.models);
            all.any(|one| one.name == model && one.role == ModelRole::Teacher)
        })
    }

    fn ask(self, model: &str) {
        let (mode, sampling) = (Mode::Reason, Sampling::default());
        self.app.answers.ask_model(self.app, self.id, Some(model.to_owned()), mode, sampling);
    }

    /// Asks every chosen model that is served and has no answer that could be read.
    fn ask_missing(self) {
        for model in self.chosen.get_untracked() {
            let is_missing = untrack(|| match self.app.answers.reason_of(self.id, &model) {
                None => true,
                Some(answer) => answer.assessment.with(|a| a.status == AssessmentStatus::Failed),
            });
            if is_missing && untrack(|| self.is_served(&model)) {
                self.ask(&model);
            }
        }
    }
}

#[component]
fn Loaded(id: ImageId, found: RwSignal<Option<ImageComparison>>) -> impl IntoView {
    let app = App::get();
    let all = Memo::new(move |_| {
        found.with(|found| {
            let models = found.iter().flat_map(|found| &found.models);
            models.map(|one| one.model.clone()).collect::<Vec<String>>()
        })
    });
    let chosen = RwSignal::new(untrack(|| all.get().into_iter().take(FIRST).collect::<Vec<_>>()));
    let table = Table { app, id, found, chosen };
    let asked = app.comparing.ask_missing.get_untracked();
    Effect::new(move || {
        if app.comparing.ask_missing.get() != asked {
            table.ask_missing();
        }
    });
    // What runs already when the page opens is followed to its end.
    for answer in untrack(|| app.answers.of(id)).into_iter().filter(|answer| untrack(|| answer.is_live())) {
        stream::follow(app, answer, true);
    }
    let image = found.with_untracked(|found| found.as_ref().map(|found| found.image.clone()));
    let name = image.as_ref().map(|image| image.name.clone()).unwrap_or_default();
    let label = Memo::new(move |_| {
        found.with(|found| found.as_ref().and_then(|found| preferred(&found.image.labels).cloned()))
    });
    let scores = Memo::new(move |_| {
        let columns = LETTERS.into_iter().zip(chosen.get());
        columns.map(|(letter, model)| (letter, model.clone(), table.score(&model))).collect::<Vec<_>>()
    });
    view! {
        <div class="page is-wide compare">
            <div class="compare-head">
                <a href=Route::Image(id).path() on:click=follow_link(app, Route::Image(id)) title="To the image (Esc)">
                    <img src=api::thumbnail_url(id) alt=format!("{name}, small")/>
                </a>
                <div>
                    <h1>{name}</h1>
                    <Choice all chosen table/>
                    <button class="button" title="Ask every chosen model that has no answer (A)"
                        on:click=move |_| table.ask_missing()>"Ask all missing"</button>
                </div>
                <ScoreLine scores label/>
            </div>
            <p class="muted legend">
                <span class="gap-key is-slight">"≠ one level apart"</span>
                <span class="gap-key is-strong">"≠≠ two or more"</span>
                <span><ins>"words"</ins>" that column A does not have"</span>
            </p>
            <div class="compare-scroll">
                {move || view! { <Rows table models=chosen.get()/> }}
            </div>
        </div>
    }
}

/// Which models have a column.
#[component]
fn Choice(all: Memo<Vec<String>>, chosen: RwSignal<Vec<String>>, table: Table) -> impl IntoView {
    let change = move |model: String, is_on: bool| {
        chosen.update(|chosen| {
            chosen.retain(|other| *other != model);
            if is_on {
                chosen.push(model.clone());
            }
            let place = |name: &String| all.get_untracked().iter().position(|other| other == name);
            chosen.sort_by_key(place);
            chosen.truncate(LETTERS.len());
        });
    };
    let chip = move |model: String| {
        let (named, shown) = (model.clone(), model.clone());
        let is_teacher = table.is_teacher(&model);
        view! {
            <label class="pick-chip">
                <input type="checkbox" prop:checked=move || chosen.with(|chosen| chosen.contains(&shown))
                    on:change=move |event| change(model.clone(), event_target::<HtmlInputElement>(&event).checked())/>
                <span>{named}{is_teacher.then(|| view! { <small>"teacher"</small> })}</span>
            </label>
        }
    };
    view! {
        <fieldset class="pick-chips">
            <legend class="sr">"Models"</legend>
            {move || all.get().into_iter().map(chip).collect_view()}
        </fieldset>
    }
}

#[component]
fn Rows(table: Table, models: Vec<String>) -> impl IntoView {
    let count = models.len();
    let columns: Vec<(char, String)> = LETTERS.into_iter().zip(models.clone()).collect();
    let base = models.first().cloned();
    let head = columns.into_iter().map(|(letter, model)| view! { <Head table letter model/> });
    let attributes = Attribute::ALL.map(|attribute| {
        view! { <AttributeRow table attribute models=models.clone()/> }
    });
    let summaries: Vec<_> = models
        .iter()
        .map(|model| {
            let (model, base) = (model.clone(), base.clone().filter(|base| base != model));
            let texts = Memo::new(move |_| {
                (table.summary(&model), base.as_ref().and_then(|base| table.summary(base)))
            });
            view! {
                <td>{move || match texts.get() {
                    (Some(text), base) => view! { <DiffText text base/> }.into_any(),
                    (None, _) => view! { <span class="muted">"–"</span> }.into_any(),
                }}</td>
            }
        })
        .collect();
    let quick = models.iter().map(|model| {
        let model = model.clone();
        let score = Memo::new(move |_| table.quick(&model));
        view! {
            <td class="tabular">{move || score.get().map_or("–".to_owned(), |score| score.to_string())}</td>
        }
    });
    let quick = quick.collect_view();
    let basis = table.found.with_untracked(|found| found.as_ref().map(|found| found.basis.clone()));
    let terms = Term::ALL.map(|term| {
        let meaning = basis.as_ref().map(|basis| term.meaning(basis)).unwrap_or_default();
        let cells = models.iter().map(|model| {
            let model = model.clone();
            let terms = Memo::new(move |_| table.terms(&model));
            view! { <td>{move || view! { <TermValue term terms=terms.get()/> }}</td> }
        });
        view! {
            <tr><th scope="row"><span class="hint-word" title=meaning.clone()>{format!("{} reward", term.name())}</span>
                <span class="sr">{meaning}</span></th>{cells.collect_view()}</tr>
        }
    });
    view! {
        <table class="compare-table" style=format!("--columns:{count}")>
            <thead><tr><td></td>{head.collect_view()}</tr></thead>
            <tbody>
                {attributes}
                <tr><th scope="row">"Summary"</th>{summaries}</tr>
                <tr><th scope="row">"Quick score"</th>{quick}</tr>
                {terms}
            </tbody>
        </table>
    }
}

/// A column's letter, model, score, and how to get an answer.
#[component]
fn Head(table: Table, letter: char, model: String) -> impl IntoView {
    let app = table.app;
    let (scored, stated, asked, named) = (model.clone(), model.clone(), model.clone(), model.clone());
    let score = Memo::new(move |_| table.score(&scored));
    let state = Memo::new(move |_| {
        let answer = app.answers.reason_of(table.id, &stated);
        let state =
            answer.map(|answer| answer.assessment.with(|a| (a.status, a.error.clone().unwrap_or_default())));
        (state, app.answers.is_asking_model(table.id, &stated))
    });
    let is_served = Memo::new(move |_| table.is_served(&named));
    let ask = move |words: &'static str| {
        let model = asked.clone();
        if is_served.get() {
            view! { <button class="button" on:click=move |_| table.ask(&model)>{words}</button> }.into_any()
        } else {
            view! { <span class="muted">"not served any more"</span> }.into_any()
        }
    };
    let is_teacher = table.is_teacher(&model);
    view! {
        <th scope="col">
            <p class="column-name"><b class="line-marker">{letter.to_string()}</b>" "{model}
                {is_teacher.then(|| view! { <small>"teacher"</small> })}</p>
            {move || score.get().map(|score| view! {
                <p class="column-score tabular">{score.to_string()}
                    <span class=format!("word {}", level_chip::class(score.level()))>{score.level().word()}</span></p>
            })}
            {move || match state.get() {
                (None, true) => view! { <p class="status is-live">"Asking…"</p> }.into_any(),
                (None, false) => ask("Ask"),
                (Some((AssessmentStatus::Queued, _)), _) => view! { <p class="status is-live">"Waiting…"</p> }.into_any(),
                (Some((AssessmentStatus::Running, _)), _) => view! { <p class="status is-live">"Reasoning…"</p> }.into_any(),
                (Some((AssessmentStatus::Failed, error)), _) => view! {
                    <p class="column-error">"Failed. "{format::sentence(&error)}</p>{ask("Try again")}
                }.into_any(),
                (Some((AssessmentStatus::Done, _)), _) if score.get().is_none() => view! {
                    <p class="column-error">"Parse failure: no score could be read."</p>{ask("Ask again")}
                }.into_any(),
                (Some((AssessmentStatus::Done | AssessmentStatus::Cancelled, _)), _) => ().into_any(),
            }}
        </th>
    }
}

#[component]
fn AttributeRow(table: Table, attribute: Attribute, models: Vec<String>) -> impl IntoView {
    let seen = {
        let models = models.clone();
        Memo::new(move |_| {
            let of = |model: &String| Some((model.clone(), table.observation(model, attribute)?));
            models.iter().filter_map(of).collect::<BTreeMap<String, Observation>>()
        })
    };
    let apart = Memo::new(move |_| seen.with(|seen| gap(seen.values().filter_map(|one| one.level))));
    let base = models.first().cloned();
    let cells: Vec<_> = models
        .into_iter()
        .map(|model| {
            let base = base.clone().filter(|base| *base != model);
            let cell = Memo::new(move |_| {
                seen.with(|seen| {
                    let text = base.as_ref().and_then(|base| Some(seen.get(base)?.text.clone()));
                    (seen.get(&model).cloned(), text)
                })
            });
            view! {
                <td>{move || match cell.get() {
                    (None, _) => view! { <span class="muted">"–"</span> }.into_any(),
                    (Some(Observation { text, level, .. }), base) => view! {
                        {match level {
                            Some(level) => view! { <LevelChip level/> }.into_any(),
                            None => view! { <span class="chip is-missing">"no level"</span> }.into_any(),
                        }}
                        <p><DiffText text base/></p>
                    }.into_any(),
                }}</td>
            }
        })
        .collect();
    view! {
        <tr class:is-slight=move || apart.get() == Gap::Slight class:is-strong=move || apart.get() == Gap::Strong>
            <th scope="row">{format::capitalised(attribute.word())}
                {move || match apart.get() {
                    Gap::None => ().into_any(),
                    Gap::Slight => view! { <span class="gap" title="One level apart">"≠"<span class="sr">" one level apart"</span></span> }.into_any(),
                    Gap::Strong => view! { <span class="gap" title="Two levels apart or more">"≠≠"<span class="sr">" two levels apart or more"</span></span> }.into_any(),
                }}
            </th>
            {cells}
        </tr>
    }
}
