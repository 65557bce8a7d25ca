//! One image of a set, with what two models say of it.

use leptos::prelude::*;
use qponder_shared::compare::{ComparedImage, Reading};

use crate::api;
use crate::format;
use crate::parts::level_chip::{self, LevelSteps};
use crate::route::{Route, follow_link};
use crate::state::App;

/// A row of the table. A difference of a point or more is marked.
#[component]
pub fn ComparedRow(item: ComparedImage) -> impl IntoView {
    let app = App::get();
    let id = item.image.id;
    let name = item.image.name.clone();
    let to = Route::CompareImage(id);
    let is_far = item.difference.is_some_and(|difference| difference.abs() >= 1.0);
    view! {
        <tr class:is-strong=is_far>
            <th scope="row">
                <a href=to.path() on:click=follow_link(app, to)>
                    <img src=api::thumbnail_url(id) alt="" loading="lazy"/><span>{name}</span>
                </a>
            </th>
            <td>{score(item.left)}</td>
            <td>{score(item.right)}</td>
            <td class="tabular">
                {item.difference.map_or("–".to_owned(), format::signed)}
                {is_far.then(|| view! { <span class="gap" title="A point or more">"≠≠"</span> })}
            </td>
            <td class="tabular">{item.differing.map_or("–".to_owned(), |count| format!("{count} of 6"))}</td>
        </tr>
    }
}

fn score(reading: Option<Reading>) -> AnyView {
    match reading {
        Some(Reading { score, .. }) => view! {
            <span class=format!("tile-score {}", level_chip::class(score.level()))>
                <LevelSteps level=score.level()/><b class="tabular">{score.to_string()}</b>
                <span class="word">{score.level().word()}</span>
            </span>
        }
        .into_any(),
        None => view! { <span class="muted">"no answer"</span> }.into_any(),
    }
}
