//! A photo that is scored on this device: its score, its reasons, and what can be done with it.

use leptos::prelude::*;
use qponder_shared::grammar::{self, Observation};
use qponder_shared::quick::Scored;
use qponder_shared::{Level, Scope};

use crate::format;
use crate::parts::icon::{Icon, Shape};
use crate::parts::level_chip::{self, LevelChip};
use crate::parts::score_scale::ScoreScale;
use crate::quick::{Explaining, Photo, PhotoState};
use crate::state::App;

/// One row of the page *Quick score*.
#[component]
pub fn QuickRow(photo: Photo) -> impl IntoView {
    let (state, explaining) = (photo.state.clone(), photo.explaining.clone());
    let is_explained = Memo::new(move |_| *explaining.read() != Explaining::No);
    let (name, url) = (photo.name.clone(), photo.url.clone());
    let explained = photo.clone();
    let is_failed = {
        let state = photo.state.clone();
        Memo::new(move |_| matches!(*state.read(), PhotoState::Failed(_)))
    };
    let found = {
        let state = photo.state.clone();
        Memo::new(move |_| match &*state.read() {
            PhotoState::Scored(Scored { width, height, ms, .. }) => Some((*width, *height, *ms)),
            _ => None,
        })
    };
    let pixels = move || found.get().map(|(width, height, _)| format!("{width} × {height}"));
    let time = move || found.get().map(|(.., ms)| format::duration(ms.round() as u64));
    view! {
        <div class="quick-row" role="rowgroup">
        <div class="quick-cells" role="row">
            <div class="quick-photo" role="rowheader">
                <img src=url alt="" loading="lazy" decoding="async"/>
                <h3 title=name.clone()>{name.clone()}</h3>
            </div>
            <div class="quick-main" role="cell" aria-colspan=move || is_failed.get().then_some("3")>
                {move || match state.get() {
                    PhotoState::Waiting => view! { <p class="status">"Waiting…"</p> }.into_any(),
                    PhotoState::Working => view! { <p class="status is-live">"Looking…"</p> }.into_any(),
                    PhotoState::Failed(reason) => view! {
                        <p class="quick-error"><strong>"Not scored."</strong>" "{reason}</p>
                    }.into_any(),
                    PhotoState::Scored(scored) => view! { <Score scored/> }.into_any(),
                }}
            </div>
            <div class="quick-pixels muted tabular" role="cell">{pixels}</div>
            <div class="quick-time muted tabular" role="cell">{time}</div>
            <Actions photo=photo.clone()/>
        </div>
        <Show when=move || is_explained.get()>
            <div role="row">
                <div role="cell" aria-colspan="5"><Explanation photo=explained.clone()/></div>
            </div>
        </Show>
        </div>
    }
}

#[component]
fn Score(scored: Scored) -> impl IntoView {
    let score = Level::expectation(scored.probabilities);
    view! {
        <p class="quick-score">
            {score.map(|score| view! {
                <span class="number tabular">{score.to_string()}</span>
                <span class=format!("word {}", level_chip::class(score.level()))>{score.level().word()}</span>
            })}
        </p>
        <details class="disclosure">
            <summary>"Probabilities"</summary>
            <ScoreScale score=Signal::stored(score) levels=Signal::stored(Vec::new())
                probabilities=Signal::stored(Some(scored.probabilities))/>
        </details>
    }
}

#[component]
fn Actions(photo: Photo) -> impl IntoView {
    let app = App::get();
    let quick = app.quick;
    let name = photo.name.clone();
    let is_scored = {
        let state = photo.state.clone();
        Memo::new(move |_| matches!(*state.read(), PhotoState::Scored(_)))
    };
    let is_writing = {
        let explaining = photo.explaining.clone();
        Memo::new(move |_| matches!(*explaining.read(), Explaining::Waiting | Explaining::Writing))
    };
    let (explained, sent, removed) = (photo.clone(), photo.clone(), photo.clone());
    let is_sent = photo.is_sent.clone();
    let may_send = move || app.session.may(Scope::Assess);
    view! {
        <div class="row-actions" role="cell">
            <Show when=move || is_scored.get()>
                {
                    let photo = explained.clone();
                    move || {
                        let photo = photo.clone();
                        if is_writing.get() {
                            view! { <button class="button" on:click=move |_| quick.stop(&photo)>"Stop"</button> }.into_any()
                        } else {
                            view! { <button class="button" on:click=move |_| quick.explain(&photo)>"Explain"</button> }.into_any()
                        }
                    }
                }
            </Show>
            <Show when=may_send>
                {
                    let (photo, is_sent) = (sent.clone(), is_sent.clone());
                    let label = {
                        let is_sent = is_sent.clone();
                        move || if is_sent.get() { "Sent" } else { "Send to the team" }
                    };
                    view! {
                        <button class="button" disabled=move || is_sent.get() title="Upload this photo to the server"
                            on:click=move |_| quick.send(app, &photo)>{label}</button>
                    }
                }
            </Show>
            <button class="icon-button" aria-label=format!("Remove {name}") title="Remove from this page"
                on:click=move |_| quick.remove(&removed)><Icon shape=Shape::Close/></button>
        </div>
    }
}

/// The reasoning as it is written, then the score that it ends with.
#[component]
fn Explanation(photo: Photo) -> impl IntoView {
    let (text, explaining) = (photo.text.clone(), photo.explaining.clone());
    let response = Memo::new(move |_| text.with(|text| grammar::parse(text)));
    let is_live = {
        let explaining = explaining.clone();
        Memo::new(move |_| matches!(*explaining.read(), Explaining::Waiting | Explaining::Writing))
    };
    let attributes = move || {
        response.with(|response| {
            let rows = response.attributes.iter().map(|observation| {
                let Observation { attribute, text, level } = observation.clone();
                view! {
                    <li>
                        <h4>{format::capitalised(attribute.word())}</h4>
                        {level.map(|level| view! { <LevelChip level/> })}
                        <p>{text}</p>
                    </li>
                }
            });
            rows.collect_view()
        })
    };
    let conclusion = move || {
        response.with(|response| {
            let score = response.score.map(|score| {
                let class = format!("word {}", level_chip::class(score.level()));
                view! {
                    <p class="quick-score">
                        <span class="number tabular">{score.to_string()}</span>
                        <span class=class>{score.level().word()}</span>
                        <span class="muted">"with reasons"</span>
                    </p>
                }
            });
            view! { <p class="summary">{response.summary.clone()}</p>{score} }
        })
    };
    let outcome = move || match explaining.get() {
        Explaining::No => String::new(),
        Explaining::Waiting => "Next in line…".to_owned(),
        Explaining::Writing => "Reasoning…".to_owned(),
        Explaining::Done { is_complete: false, .. } => "Stopped.".to_owned(),
        Explaining::Done { tokens, ms, .. } => {
            let pace = tokens as f64 / (ms / 1000.0).max(1e-3);
            format!("{tokens} tokens in {}, {pace:.0} a second", format::duration(ms.round() as u64))
        }
        Explaining::Failed(reason) => reason,
    };
    view! {
        <section class="quick-explanation" aria-label="Reasons" aria-busy=move || is_live.get().to_string()>
            <ul class="attributes">{attributes}</ul>
            {conclusion}
            <p class="muted tabular" class:is-live=move || is_live.get()>{outcome}</p>
        </section>
    }
}
