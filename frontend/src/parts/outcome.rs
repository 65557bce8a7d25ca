//! What came of a job that trained nothing.

use std::collections::BTreeMap;

use leptos::prelude::*;
use qponder_shared::job::{Difference, Estimated, Measured, Outcome};

use crate::route::{Route, follow_link};
use crate::state::App;
use crate::{format, settings};

/// What came of a job, as tables.
#[component]
pub fn OutcomeTables(
    outcome: Outcome,
    /// What models and datasets of the recipe are called, as far as it is known.
    #[prop(into)]
    names: Signal<BTreeMap<String, String>>,
) -> impl IntoView {
    let app = App::get();
    match outcome {
        Outcome::Distilled { wanted, answered, accepted, images, images_accepted, refused } => {
            let share = format::share(Some(accepted as f64 / answered.max(1) as f64));
            let facts = format!(
                "{} of {} answers came, and {} of them ({share}) passed every filter, for {} of {} images.",
                format::whole(answered),
                format::whole(wanted),
                format::whole(accepted),
                format::whole(images_accepted),
                format::whole(images)
            );
            let refused: Vec<_> = refused.into_iter().filter(|(_, count)| *count > 0).collect();
            view! {
                <section>
                    <h2>"Answers"</h2>
                    <p>{facts}</p>
                    {(!refused.is_empty()).then(|| view! {
                        <div class="table-frame" tabindex="0" role="region" aria-label="Refused answers">
                            <table>
                                <thead><tr><th scope="col">"Filter"</th><th scope="col">"Refused"</th></tr></thead>
                                <tbody>
                                    {refused.into_iter().map(|(name, count)| view! {
                                        <tr><th scope="row">{name.replace('_', " ")}</th><td class="tabular">{format::whole(count)}</td></tr>
                                    }).collect_view()}
                                </tbody>
                            </table>
                        </div>
                    })}
                </section>
            }
            .into_any()
        }
        Outcome::Assessed { models, images, answered, unreadable, failed } => {
            let mut facts = format!(
                "{} answers on {}, {} of them without a readable score.",
                format::whole(answered),
                format::plural(images as usize, "image"),
                format::whole(unreadable)
            );
            if failed > 0 {
                let failed = format::plural(failed as usize, "image");
                facts += &format!(" {failed} could not be assessed: the log says why.");
            }
            let compare = match &models[..] {
                [left, right, ..] => Some((left.clone(), right.clone())),
                _ => None,
            };
            view! {
                <section>
                    <h2>"Answers"</h2>
                    <p>{facts}</p>
                    <p>{format!("They are among the assessments of each image, of {}.", models.join(" and "))}</p>
                    {compare.map(|(left, right)| {
                        let follow = follow_link(app, Route::Compare);
                        let choose = move |event: web_sys::MouseEvent| {
                            settings::store("compare.left", &left);
                            settings::store("compare.right", &right);
                            follow(event);
                        };
                        view! { <p><a class="button" href=Route::Compare.path() on:click=choose>"Compare them"</a></p> }
                    })}
                </section>
            }
            .into_any()
        }
        Outcome::Exported { files, bytes } => view! {
            <section>
                <h2>"Exported"</h2>
                <p>{format!("{}, {}, listed under Files.", format::plural(files as usize, "file"), format::bytes(bytes as f64))}</p>
            </section>
        }
        .into_any(),
        Outcome::Evaluated { measured, differences } => view! {
            <section>
                <h2>"Measured"</h2>
                <MeasuredTable measured names/>
                {(!differences.is_empty()).then(|| view! { <Differences differences names/> })}
                <p class="muted">"95 % bootstrap intervals over reference photographs."</p>
            </section>
        }
        .into_any(),
    }
}

/// Models on datasets.
#[component]
pub fn MeasuredTable(
    measured: Vec<Measured>,
    #[prop(into)] names: Signal<BTreeMap<String, String>>,
) -> impl IntoView {
    let row = move |one: Measured| {
        let (model, dataset) = (one.model.clone(), one.dataset.clone());
        view! {
            <tr>
                <th scope="row">{move || called(&names.get(), &model)}</th>
                <td class="is-words">{move || dataset.as_ref().map_or("all together".to_owned(), |dataset| called(&names.get(), dataset))}</td>
                <td class="is-words">{one.mode.name()}</td>
                <td class="tabular">{format::whole(one.images)}</td>
                <td class="tabular">{estimated(one.srcc)}</td>
                <td class="tabular">{estimated(one.plcc)}</td>
                <td class="tabular">{estimated(one.rmse)}</td>
                <td class="tabular">{format::whole(one.parse_failures)}</td>
            </tr>
        }
    };
    view! {
        <div class="table-frame" tabindex="0" role="region" aria-label="Measured">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Model"</th><th scope="col" class="is-words">"Dataset"</th><th scope="col" class="is-words">"Mode"</th>
                        <th scope="col">"Images"</th><th scope="col">"SRCC"</th><th scope="col">"PLCC"</th>
                        <th scope="col">"RMSE"</th><th scope="col">"Unreadable"</th>
                    </tr>
                </thead>
                <tbody>{measured.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

#[component]
fn Differences(differences: Vec<Difference>, names: Signal<BTreeMap<String, String>>) -> impl IntoView {
    let row = move |one: Difference| {
        let (first, second) = (one.first.clone(), one.second.clone());
        view! {
            <tr>
                <th scope="row">{move || names.with(|names| format!("{} against {}", called(names, &second), called(names, &first)))}</th>
                <td class="is-words">{one.mode.name()}</td>
                <td class="tabular">{format::whole(one.images)}</td>
                <td class="tabular">{signed(one.srcc)}</td>
                <td class="tabular">{signed(one.plcc)}</td>
                <td class="tabular">{signed(one.rmse)}</td>
            </tr>
        }
    };
    view! {
        <h3>"Differences on the same images"</h3>
        <div class="table-frame" tabindex="0" role="region" aria-label="Differences on the same images">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Models"</th><th scope="col" class="is-words">"Mode"</th><th scope="col">"Images"</th>
                        <th scope="col">"SRCC"</th><th scope="col">"PLCC"</th><th scope="col">"RMSE"</th>
                    </tr>
                </thead>
                <tbody>{differences.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}

/// What a model or dataset of a recipe is called.
fn called(names: &BTreeMap<String, String>, name: &str) -> String {
    let plain = || name.strip_prefix("model:").unwrap_or(name).to_owned();
    names.get(name).cloned().unwrap_or_else(plain)
}

fn estimated(estimate: Option<Estimated>) -> String {
    shown(estimate, |value| format!("{value:.3}"))
}

fn signed(estimate: Option<Estimated>) -> String {
    shown(estimate, |value| format!("{value:+.3}"))
}

fn shown(estimate: Option<Estimated>, number: fn(f64) -> String) -> String {
    let Some(Estimated { value, interval }) = estimate else { return "none".to_owned() };
    let interval =
        interval.map(|interval| format!(" ({} to {})", number(interval.low), number(interval.high)));
    format!("{}{}", number(value), interval.unwrap_or_default())
}
