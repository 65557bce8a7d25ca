//! Answers that reinforcement learning sampled, step by step, with what they were rewarded for: here one sees when
//! a model learns to please the reward instead of to judge.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::job::{Completion, Completions, JobKind, MetricPart};
use web_sys::HtmlInputElement;

use crate::parts::chart::short;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::training::{self, Followed};

/// The answers of one step; of the newest one until another one is chosen.
#[component]
pub fn SampledAnswers(followed: Followed) -> impl IntoView {
    let app = App::get();
    let shown = RwSignal::new(None::<Completions>);
    let chosen = RwSignal::new(None::<u64>);
    let is_asking = StoredValue::new(false);
    let newest = Memo::new(move |_| {
        let is_grpo = followed.job.with(|job| job.as_ref().is_some_and(|job| job.kind == JobKind::Grpo));
        let reward = (MetricPart::Train, "reward".to_owned());
        let last = || followed.series.with(|series| series.line(&reward).last().map(|(step, _)| *step));
        if is_grpo { last() } else { None }
    });
    let again = RwSignal::new(());
    Effect::new(move |_| {
        let (asked, chosen) = (newest.get(), chosen.get());
        again.track();
        // A step that was chosen stays in view; the newest one is asked for again and again, one call at a time.
        if asked.is_none() || (chosen.is_none() && is_asking.get_value()) {
            return;
        }
        is_asking.set_value(true);
        spawn_local(async move {
            match training::completions(followed.id, chosen).await {
                Ok(found) => drop(shown.try_set(Some(found))),
                // None were sampled yet.
                Err(failure) if failure.status() == Some(404) => {}
                Err(_) => app.reach(),
            }
            let _ = is_asking.try_set_value(false);
            // What came meanwhile.
            if newest.try_get_untracked().is_some_and(|newest| newest != asked) {
                let _ = again.try_set(());
            }
        });
    });
    let choose = move |event: web_sys::Event| {
        chosen.set(event_target::<HtmlInputElement>(&event).value().parse().ok());
    };
    view! {
        <Show when=move || shown.with(Option::is_some)>
            <section>
                <div class="chart-tools">
                    <h2>"Sampled answers"</h2>
                    <label>
                        "Step "
                        <input type="range" step="1" prop:min=move || shown.with(|all| all.as_ref().map(|all| all.first_step.to_string()))
                            prop:max=move || shown.with(|all| all.as_ref().map(|all| all.last_step.to_string()))
                            prop:value=move || shown.with(|all| all.as_ref().map(|all| all.step.to_string())) on:input=choose/>
                    </label>
                    <span class="tabular">{move || shown.with(|all| all.as_ref().map(|all| all.step))}</span>
                    <Show when=move || chosen.with(Option::is_some)>
                        <button class="button" on:click=move |_| chosen.set(None)>"The newest"</button>
                    </Show>
                </div>
                <div class="table-frame" tabindex="0" role="region" aria-label="Sampled answers">
                    {move || shown.get().map(|all| view! { <Table items=all.items/> })}
                </div>
            </section>
        </Show>
    }
}

#[component]
fn Table(items: Vec<Completion>) -> impl IntoView {
    let app = App::get();
    let mut terms: Vec<String> = items.iter().flat_map(|one| one.rewards.keys().cloned()).collect();
    terms.sort();
    terms.dedup();
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
    let row = |one: Completion| {
        let image = one.image.map(|id| {
            let to = Route::Image(id);
            view! {
                <a href=to.path() on:click=follow_link(app, to)>
                    <img class="sampled-image" src=format!("/api/v1/images/{id}/thumbnail") alt="The image" loading="lazy"/>
                </a>
            }
        });
        let rewards: Vec<_> = terms
            .iter()
            .map(|term| view! { <td class="tabular">{number(one.rewards.get(term).copied())}</td> })
            .collect();
        view! {
            <tr>
                <td>{image}</td>
                <td class="sampled-text">{one.text}</td>
                <td class="tabular">{number(one.label)}</td>
                <td class="tabular">{short(one.reward)}</td>
                <td class="tabular">{short(one.advantage)}</td>
                {rewards}
            </tr>
        }
    };
    view! {
        <table>
            <thead>
                <tr>
                    <th scope="col">"Image"</th><th scope="col">"Answer"</th><th scope="col">"Label"</th>
                    <th scope="col">"Reward"</th><th scope="col">"Advantage"</th>
                    {terms.iter().map(|term| view! { <th scope="col">{term.clone()}</th> }).collect_view()}
                </tr>
            </thead>
            <tbody>{items.into_iter().map(row).collect_view()}</tbody>
        </table>
    }
}
