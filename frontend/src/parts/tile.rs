//! An image of the gallery, with its newest score; and moving the focus between tiles.

use leptos::prelude::*;
use qponder_shared::api::{AssessmentStatus, Mode};
use qponder_shared::{Attribute, ImageId, Scope};
use wasm_bindgen::JsCast as _;
use web_sys::HtmlElement;

use crate::answers::Answer;
use crate::api;
use crate::gallery::Card;
use crate::parts::icon::{Icon, Shape};
use crate::parts::level_chip::{self, LevelSteps};
use crate::route::{Route, follow_link};
use crate::state::App;

/// The image as a link to its page.
#[component]
pub fn Tile(card: Card) -> impl IntoView {
    let app = App::get();
    let id = card.id;
    let (name, ratio) = card.image.with_untracked(|image| {
        let ratio = f64::from(image.width) / f64::from(image.height.max(1));
        // Very wide and very high images keep a frame that a person can hit.
        (image.name.clone(), ratio.clamp(0.5, 3.0))
    });
    let image = card.image.clone();
    let latest = Memo::new(move |_| image.with(|image| image.latest.clone()));
    let live = Memo::new_with_compare(
        move |_| app.answers.live(id),
        |old, new| old.map(|a| a.as_ref().map(|a| a.id)) != new.map(|a| a.as_ref().map(|a| a.id)),
    );
    let has_failed = Memo::new(move |_| app.answers.has_failed(id));
    let state = move || match (live.get(), latest.get()) {
        (Some(answer), _) => view! { <Progress answer/> }.into_any(),
        (None, _) if app.answers.is_asking(id) => view! { <span class="muted">"Asking…"</span> }.into_any(),
        (None, _) if has_failed.get() => {
            view! { <span class="tile-failed">"Assessment failed"</span> }.into_any()
        }
        (None, Some(latest)) => match latest.score {
            Some(score) => view! {
                <span class=format!("tile-score {}", level_chip::class(score.level()))>
                    <LevelSteps level=score.level()/>
                    <b class="tabular">{score.to_string()}</b>
                    <span class="word">{score.level().word()}</span>
                    <Show when=move || latest.mode == Mode::Quick><span class="muted">"quick"</span></Show>
                </span>
            }
            .into_any(),
            None => view! { <span class="muted">"No readable score"</span> }.into_any(),
        },
        (None, None) => view! { <span class="muted">"Not assessed"</span> }.into_any(),
    };
    let removed_name = name.clone();
    view! {
        <li class="tile" style=format!("--ratio:{ratio:.4}")>
            <a href=Route::Image(id).path() data-image=id.to_string() on:click=follow_link(app, Route::Image(id))>
                <div class="tile-picture"><img src=api::thumbnail_url(id) alt="" loading="lazy" decoding="async" draggable="false"/></div>
                <div class="tile-caption">
                    <span class="tile-name" title=name.clone()>{name.clone()}</span>
                    {state}
                </div>
            </a>
            <label class="tile-pick" class:is-picked=move || app.comparing.is_picked(id)>
                <input type="checkbox" tabindex="-1" aria-label=format!("Pick {name}") title="Pick (S)"
                    prop:checked=move || app.comparing.is_picked(id) on:change=move |_| app.comparing.pick(app, id)/>
            </label>
            {move || app.session.may(Scope::Assess).then(|| {
                let name = removed_name.clone();
                view! {
                    <button class="icon-button tile-delete" tabindex="-1" title="Delete (Del)" aria-label=format!("Delete {name}")
                        on:click=move |_| app.remove(id, &name)>
                        <Icon shape=Shape::Bin/>
                    </button>
                }
            })}
        </li>
    }
}

/// A running assessment: a step for each attribute, in its level's colour as soon as it is judged.
#[component]
fn Progress(answer: Answer) -> impl IntoView {
    let steps = answer.watch(|assessment| {
        Attribute::ALL.map(|attribute| {
            let seen = assessment.response.attributes.iter().find(|seen| seen.attribute == attribute);
            seen.and_then(|seen| seen.level)
        })
    });
    let status = answer.watch_status();
    view! {
        <span class="tile-progress">
            {move || match status.get() {
                AssessmentStatus::Queued => view! { <span class="muted">"Waiting…"</span> }.into_any(),
                _ => view! {
                    <span class="sr">"Reasoning"</span>
                    {steps.get().map(|level| view! { <i class=level.map(level_chip::class).unwrap_or_default()></i> })}
                }.into_any(),
            }}
        </span>
    }
}

/// The image whose tile has the focus.
#[must_use]
pub fn focused() -> Option<ImageId> {
    document().active_element()?.get_attribute("data-image")?.parse().ok()
}

/// Gives an image's tile the focus.
pub fn focus(id: ImageId) {
    let tile = document().query_selector(&format!("[data-image='{id}']")).ok().flatten();
    if let Some(tile) = tile.and_then(|tile| tile.dyn_into::<HtmlElement>().ok()) {
        let _ = tile.focus();
    }
}

/// Moves the focus along the tiles, from none to the first one; whether there was one to go to.
pub fn focus_beside(step: isize) -> bool {
    let tiles = tiles();
    let at = match focused_place(&tiles) {
        Some(at) => at.checked_add_signed(step),
        None => Some(0),
    };
    focus_place(&tiles, at)
}

/// Moves the focus to the nearest tile of the row below (`1.0`) or above (`-1.0`).
pub fn focus_row(direction: f64) -> bool {
    let tiles = tiles();
    // Without a focused tile the arrows scroll the page.
    let Some(at) = focused_place(&tiles) else { return false };
    let centre = |tile: &HtmlElement| {
        let rect = tile.get_bounding_client_rect();
        (rect.x() + rect.width() / 2.0, rect.y())
    };
    let (x, y) = centre(&tiles[at]);
    // Rows far away lose against columns far away: the next row comes first.
    let distance = |tile: &HtmlElement| (centre(tile).1 - y).abs() * 100.0 + (centre(tile).0 - x).abs();
    let beyond = tiles.iter().enumerate().filter(|(_, tile)| (centre(tile).1 - y) * direction > 1.0);
    let nearest = beyond.min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b))).map(|(at, _)| at);
    focus_place(&tiles, nearest)
}

fn tiles() -> Vec<HtmlElement> {
    let Ok(found) = document().query_selector_all("[data-image]") else { return Vec::new() };
    (0..found.length()).filter_map(|at| found.get(at)?.dyn_into().ok()).collect()
}

fn focused_place(tiles: &[HtmlElement]) -> Option<usize> {
    let active = document().active_element()?;
    tiles.iter().position(|tile| tile.is_same_node(Some(&active)))
}

fn focus_place(tiles: &[HtmlElement], at: Option<usize>) -> bool {
    at.and_then(|at| tiles.get(at)).is_some_and(|tile| tile.focus().is_ok())
}
