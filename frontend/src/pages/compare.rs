//! Two models on all images: where they differ, and how far they agree.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::{Mode, ModelRole, Sampling};
use qponder_shared::compare::{ComparedImage, ComparisonStatistics};
use web_sys::HtmlSelectElement;

use crate::comparing::{self, PairSort};
use crate::format;
use crate::parts::agreement::Agreement;
use crate::parts::compared_row::ComparedRow;
use crate::parts::scatter::{Point, Scatter};
use crate::route::Route;
use crate::settings;
use crate::state::App;

/// What the page shows.
#[derive(Clone, Copy)]
struct Table {
    app: App,
    left: RwSignal<String>,
    right: RwSignal<String>,
    sort: RwSignal<PairSort>,
    items: RwSignal<Vec<ComparedImage>>,
    next: RwSignal<Option<String>>,
    statistics: RwSignal<Option<ComparisonStatistics>>,
    is_busy: RwSignal<bool>,
    /// Counts reloads, so that an answer to an earlier one is dropped.
    generation: StoredValue<u32>,
}

impl Table {
    fn sides(self) -> Option<(String, String)> {
        let (left, right) = (self.left.get_untracked(), self.right.get_untracked());
        (!left.is_empty() && !right.is_empty() && left != right).then_some((left, right))
    }

    /// Loads the first page and the statistics anew.
    fn reload(self) {
        self.generation.update_value(|generation| *generation += 1);
        self.items.set(Vec::new());
        self.next.set(None);
        self.statistics.set(None);
        self.load(None);
        let Some((left, right)) = self.sides() else { return };
        let generation = self.generation.get_value();
        spawn_local(async move {
            let found = comparing::statistics(&left, &right).await;
            if self.generation.try_get_value() != Some(generation) {
                return;
            }
            match found {
                Ok(statistics) => drop(self.statistics.try_set(Some(statistics))),
                Err(failure) => self.app.report(&failure),
            }
        });
    }

    fn load(self, cursor: Option<String>) {
        let Some((left, right)) = self.sides() else { return };
        let (sort, generation) = (self.sort.get_untracked(), self.generation.get_value());
        self.is_busy.set(true);
        spawn_local(async move {
            let page = comparing::list(&left, &right, sort, cursor.as_deref()).await;
            if self.generation.try_get_value() != Some(generation) {
                return;
            }
            match page {
                Ok(page) => {
                    self.items.try_update(|items| items.extend(page.items));
                    let _ = self.next.try_set(page.next);
                }
                Err(failure) => self.app.report(&failure),
            }
            let _ = self.is_busy.try_set(false);
        });
    }

    /// Answers that the images on the page lack, of models that are served.
    fn missing(self) -> Vec<(qponder_shared::ImageId, String)> {
        let (left, right) = (self.left.get(), self.right.get());
        let served = |name: &String| {
            self.app
                .info
                .with(|info| info.iter().flat_map(|info| &info.models).any(|model| model.name == *name))
        };
        let sides = [(left, true), (right, false)].into_iter().filter(|(name, _)| served(name));
        let sides: Vec<(String, bool)> = sides.collect();
        self.items.with(|items| {
            let of = |item: &ComparedImage| {
                let lacks = |is_left: bool| if is_left { item.left.is_none() } else { item.right.is_none() };
                let lacking = sides.iter().filter(|(_, is_left)| lacks(*is_left));
                lacking.map(|(name, _)| (item.image.id, name.clone())).collect::<Vec<_>>()
            };
            items.iter().flat_map(of).collect()
        })
    }

    fn ask_missing(self) {
        let missing = untrack(|| self.missing());
        for (image, model) in &missing {
            let (mode, sampling) = (Mode::Reason, Sampling::default());
            self.app.answers.ask_model(self.app, *image, Some(model.clone()), mode, sampling);
        }
        self.app.toasts.say("The answers are queued. Press Refresh to see them come.");
    }
}

/// The page at `/compare`.
#[component]
pub fn ComparePage() -> impl IntoView {
    let app = App::get();
    document().set_title("Compare models · Q-Ponder");
    let table = Table {
        app,
        left: RwSignal::new(settings::text("compare.left")),
        right: RwSignal::new(settings::text("compare.right")),
        sort: RwSignal::new(PairSort::default()),
        items: RwSignal::new(Vec::new()),
        next: RwSignal::new(None),
        statistics: RwSignal::new(None),
        is_busy: RwSignal::new(false),
        generation: StoredValue::new(0),
    };
    // Served ones first, teachers at the end of them; then those that only have answers.
    let answered = RwSignal::new(None::<Vec<String>>);
    let names = Memo::new(move |_| {
        let mut served = app.info.get().map(|info| info.models).unwrap_or_default();
        served.sort_by_key(|model| model.role == ModelRole::Teacher);
        let mut names: Vec<String> = served.into_iter().map(|model| model.name).collect();
        let others = answered.get().unwrap_or_default().into_iter();
        names.extend(others.filter(|name| !names.contains(name)).collect::<Vec<_>>());
        names
    });
    spawn_local(async move {
        match comparing::models().await {
            Ok(models) => drop(answered.try_set(Some(models))),
            Err(failure) => {
                let _ = answered.try_set(Some(Vec::new()));
                app.report(&failure);
            }
        }
    });
    // Two that are there, unless the person has chosen. Whom they chose may have answers and not be served.
    Effect::new(move || {
        if answered.with(Option::is_none) {
            return;
        }
        let names = names.get();
        let (left, right) = (table.left.get_untracked(), table.right.get_untracked());
        let is_chosen = names.contains(&left) && names.contains(&right) && left != right;
        if !is_chosen && let [first, .., last] = names.as_slice() {
            table.left.set(first.clone());
            table.right.set(last.clone());
        }
    });
    Effect::new(move || {
        settings::store("compare.left", &table.left.get());
        settings::store("compare.right", &table.right.get());
        table.sort.track();
        untrack(|| table.reload());
    });
    let are_enough = Memo::new(move |_| names.with(|names| names.len() > 1));
    view! {
        <div class="page is-wide compare">
            <div class="page-head"><h1>"Compare models"</h1></div>
            <Show when=move || are_enough.get() fallback=|| view! {
                <p class="muted">"One model is served here, and no other has answered. Start the server with several: "
                    <code>"qponder serve --model models/nano-rl --model models/nano-ci"</code></p>
            }>
                <Choices table names/>
                <Numbers table/>
                <List table/>
            </Show>
        </div>
    }
}

#[component]
fn Choices(table: Table, names: Memo<Vec<String>>) -> impl IntoView {
    let side = move |id: &'static str, label: &'static str, chosen: RwSignal<String>| {
        let option = move |name: String| {
            let (value, shown) = (name.clone(), name.clone());
            view! { <option value=value selected=move || chosen.get() == shown>{name}</option> }
        };
        view! {
            <div class="field">
                <label for=id>{label}</label>
                <select id=id on:change=move |event| chosen.set(event_target::<HtmlSelectElement>(&event).value())>
                    {move || names.get().into_iter().map(option).collect_view()}
                </select>
            </div>
        }
    };
    let sort = move |event: web_sys::Event| {
        let name = event_target::<HtmlSelectElement>(&event).value();
        if let Some(sort) = PairSort::ALL.into_iter().find(|sort| sort.name() == name) {
            table.sort.set(sort);
        }
    };
    let missing = Memo::new(move |_| table.missing().len());
    let swap = move |_| {
        let (left, right) = (table.left.get_untracked(), table.right.get_untracked());
        table.left.set(right);
        table.right.set(left);
    };
    view! {
        <div class="form is-row compare-choices">
            {side("left", "Left", table.left)}
            <button class="button" title="Exchange left and right" aria-label="Exchange left and right" on:click=swap>"⇄"</button>
            {side("right", "Right", table.right)}
            <div class="field">
                <label for="order">"Order"</label>
                <select id="order" on:change=sort>
                    {PairSort::ALL.map(|sort| view! {
                        <option value=sort.name() selected=move || table.sort.get() == sort>{sort.title()}</option>
                    })}
                </select>
            </div>
            <button class="button" on:click=move |_| table.reload()>"Refresh"</button>
            <Show when=move || { missing.get() > 0 }>
                <button class="button is-primary" on:click=move |_| table.ask_missing()>
                    {move || format!("Ask missing ({})", missing.get())}
                </button>
            </Show>
        </div>
        <Show when=move || table.left.get() == table.right.get()>
            <p class="form-error" role="alert">"Left and right are the same model: choose two."</p>
        </Show>
    }
}

#[component]
fn Numbers(table: Table) -> impl IntoView {
    move || {
        let statistics = table.statistics.get()?;
        if statistics.n == 0 {
            return Some(
                view! {
                    <p class="muted note">"No image has readable answers of both models yet. Order by newest to ask for them."</p>
                }
                .into_any(),
            );
        }
        let (left, right) = (table.left.get_untracked(), table.right.get_untracked());
        let points = statistics.points.iter().map(|point| Point {
            x: point.left.get(),
            y: point.right.get(),
            label: format!("{left} {}, {right} {}", point.left, point.right),
            to: Route::CompareImage(point.image),
        });
        let points = points.collect();
        let note = match (statistics.n, statistics.is_sample) {
            (n, true) => format!("{n} images drawn at random of more"),
            (1, false) => "1 image with both answers".to_owned(),
            (n, false) => format!("All {n} images with both answers"),
        };
        let names = (left.clone(), right.clone());
        Some(
            view! {
                <div class="compare-numbers">
                    <Scatter points x_name=names.0 y_name=names.1 note/>
                    <div><Agreement statistics left right/></div>
                </div>
            }
            .into_any(),
        )
    }
}

#[component]
fn List(table: Table) -> impl IntoView {
    let is_empty = Memo::new(move |_| table.items.with(Vec::is_empty));
    view! {
        <Show when=move || !is_empty.get()>
            <table class="compare-list">
                <thead><tr>
                    <th scope="col">"Image"</th><th scope="col">{move || table.left.get()}</th>
                    <th scope="col">{move || table.right.get()}</th><th scope="col" title="Right less left">"Difference"</th>
                    <th scope="col" title="Attributes that both judge, and differently">"Attributes apart"</th>
                </tr></thead>
                <tbody>
                    <For each=move || table.items.get() key=|item| item.image.id let:item><ComparedRow item/></For>
                </tbody>
            </table>
        </Show>
        <Show when=move || table.next.with(Option::is_some)>
            <button class="button more" disabled=move || table.is_busy.get()
                on:click=move |_| table.load(table.next.get_untracked())>
                {move || if table.is_busy.get() { "Loading…" } else { "Show more" }}
            </button>
        </Show>
        <p class="sr" role="status">{move || {
            let count = table.items.with(Vec::len);
            if table.is_busy.get() { "Loading".to_owned() } else { format::plural(count, "image") }
        }}</p>
    }
}
