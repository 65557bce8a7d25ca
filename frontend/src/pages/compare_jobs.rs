//! Two to four trainings over each other: their numbers, their recipes, and how good they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::JobId;
use qponder_shared::job::{Job, MetricPart, RecipeDifference};
use qponder_shared::registry::Measurement;

use crate::pages::job::{FIRST, title};
use crate::pages::jobs::facts;
use crate::parts::chart::{Chart, ChartStyle, ChartTools};
use crate::parts::outcome::MeasuredTable;
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::studies;
use crate::training::{self, Series};

/// How often jobs that go on are looked at again.
const EVERY: Duration = Duration::from_secs(5);

/// What is known of one of them.
#[derive(Clone, PartialEq)]
struct Known {
    job: Job,
    series: Series,
    measured: Vec<Measurement>,
}

/// The page at `/training/compare`.
#[component]
pub fn CompareJobsPage(jobs: [Option<JobId>; 4]) -> impl IntoView {
    let app = App::get();
    document().set_title("Compare · Training · Q-Ponder");
    let known = RwSignal::new(Vec::<Known>::new());
    let load = move || {
        spawn_local(async move {
            let mut found = Vec::new();
            for id in jobs.into_iter().flatten() {
                let all =
                    (training::job(id).await, training::numbers(id).await, training::measurements(id).await);
                match all {
                    (Ok(job), Ok(series), Ok(measured)) => found.push(Known { job, series, measured }),
                    (Err(failure), ..) | (_, Err(failure), _) | (.., Err(failure)) => {
                        return app.report(&failure);
                    }
                }
            }
            let _ = known.try_set(found);
        });
    };
    load();
    let handle = set_interval_with_handle(
        move || {
            if known.with_untracked(|known| known.iter().any(|one| !one.job.state.is_final())) {
                load();
            }
        },
        EVERY,
    );
    if let Ok(handle) = handle {
        on_cleanup(move || handle.clear());
    }
    let datasets = RwSignal::new(BTreeMap::<String, String>::new());
    spawn_local(async move {
        if let Ok(page) = studies::datasets().await {
            let named = page.items.into_iter();
            let named = named
                .map(|one| (format!("dataset:{}", one.id), format!("{}, version {}", one.name, one.version)));
            let _ = datasets.try_set(named.collect());
        }
    });
    let names = Signal::derive(move || {
        let mut names = datasets.get();
        known.with(|known| {
            names.extend(known.iter().map(|one| (format!("job:{}", one.job.id), one.job.name.clone())))
        });
        names
    });
    let style = ChartStyle::plain();
    let is_all = RwSignal::new(false);
    let charted = Memo::new(move |_| {
        let rank = |name: &str| FIRST.iter().position(|(known, _)| *known == name);
        let names: BTreeSet<(MetricPart, String)> =
            known.with(|known| known.iter().flat_map(|one| one.series.names()).collect());
        let mut names: Vec<_> =
            names.into_iter().filter(|(_, name)| is_all.get() || rank(name).is_some()).collect();
        names.sort_by_key(|(part, name)| (rank(name).unwrap_or(FIRST.len()), *part, name.clone()));
        names
    });
    let recipes = RwSignal::new(Vec::<RecipeDifference>::new());
    spawn_local(async move {
        let ids: Vec<JobId> = jobs.into_iter().flatten().collect();
        match training::differences(&ids).await {
            Ok(found) => drop(recipes.try_set(found)),
            Err(failure) => app.report(&failure),
        }
    });
    let measured = Memo::new(move |_| {
        known.with(|known| {
            known
                .iter()
                .flat_map(|one| one.measured.iter().map(|one| one.measured.clone()))
                .collect::<Vec<_>>()
        })
    });
    let heads = move || {
        known.with(|known| {
            known.iter().map(|one| view! { <th scope="col">{one.job.name.clone()}</th> }).collect_view()
        })
    };
    view! {
        <div class="page is-wide">
            <div class="page-head">
                <h1>"Compare"</h1>
                <div class="row-actions">
                    <a class="button" href=Route::Jobs.path() on:click=follow_link(app, Route::Jobs)>"All jobs"</a>
                </div>
            </div>
            <ul class="rows" aria-label="Jobs">
                {move || known.get().into_iter().enumerate().map(|(place, one)| {
                    let to = Route::Job(one.job.id);
                    view! {
                        <li>
                            <span class=format!("chart-key is-{place}") aria-hidden="true"></span>
                            <div class="row-main">
                                <p class="row-title"><a href=to.path() on:click=follow_link(app, to)>{one.job.name.clone()}</a></p>
                                <p class="muted">{facts(&one.job)}</p>
                            </div>
                        </li>
                    }
                }).collect_view()}
            </ul>
            <section>
                <div class="chart-tools">
                    <h2>"Numbers"</h2>
                    <ChartTools style/>
                    <label class="check"><input type="checkbox" prop:checked=move || is_all.get()
                        on:change=move |event| is_all.set(event_target_checked(&event))/>" All of them"</label>
                </div>
                <div class="charts">
                    <For each=move || charted.get() key=Clone::clone let:name>
                        {
                            let title = title(name.0, &name.1);
                            let lines = Memo::new(move |_| {
                                known.with(|known| known.iter().map(|one| one.series.line(&name)).collect::<Vec<_>>())
                            });
                            view! { <Chart title lines style/> }
                        }
                    </For>
                </div>
            </section>
            <section>
                <h2>"Recipes"</h2>
                <Show when=move || !known.with(Vec::is_empty) && recipes.with(Vec::is_empty)>
                    <p class="muted">"They say the same."</p>
                </Show>
                <Show when=move || !recipes.with(Vec::is_empty)>
                    <div class="table-frame" tabindex="0" role="region" aria-label="Recipes">
                        <table>
                            <thead><tr><th scope="col">"Key"</th>{heads}</tr></thead>
                            <tbody>
                                {move || recipes.get().into_iter().map(|RecipeDifference { key, values }| view! {
                                    <tr>
                                        <th scope="row"><code>{key}</code></th>
                                        {values.into_iter().map(|value| view! {
                                            <td>{value.unwrap_or_else(|| "default".to_owned())}</td>
                                        }).collect_view()}
                                    </tr>
                                }).collect_view()}
                            </tbody>
                        </table>
                    </div>
                </Show>
            </section>
            <section>
                <h2>"Measured"</h2>
                {move || if measured.with(Vec::is_empty) {
                    view! { <p class="muted">"No evaluation has measured what they train; queue one with all of them under Training."</p> }.into_any()
                } else {
                    view! { <MeasuredTable measured=measured.get() names/> }.into_any()
                }}
            </section>
        </div>
    }
}
