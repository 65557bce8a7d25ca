//! The keys of a recipe as fields of a form: what the server says of their types, ranges and defaults.

use std::collections::BTreeMap;

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::job::JobKind;
use qponder_shared::recipe::{FieldEntry, RecipeField};
use web_sys::{HtmlInputElement, HtmlSelectElement};

use crate::state::App;
use crate::training;

/// A key, and its new value in TOML; nothing leaves the key out.
pub type Change = (String, Option<String>);

/// The fields of a kind of recipe, section by section.
#[component]
pub fn RecipeFields(
    kind: RwSignal<JobKind>,
    /// The keys that the recipe sets, with their values in TOML.
    values: Signal<BTreeMap<String, String>>,
    change: Callback<Change>,
) -> impl IntoView {
    let app = App::get();
    let fields = RwSignal::new(Vec::<RecipeField>::new());
    Effect::new(move |_| {
        let asked = kind.get();
        spawn_local(async move {
            match training::fields(asked).await {
                Ok(found) if kind.try_get_untracked() == Some(asked) => drop(fields.try_set(found)),
                Ok(_) => {}
                Err(_) => app.reach(),
            }
        });
    });
    let sections = move || {
        let mut sections: Vec<(String, Vec<RecipeField>)> = Vec::new();
        for field in fields.get() {
            let name = field.key.split('.').next().unwrap_or_default().to_owned();
            match sections.last_mut() {
                Some((last, fields)) if *last == name => fields.push(field),
                _ => sections.push((name, vec![field])),
            }
        }
        let view = |(name, fields)| view! { <Section name=name fields=fields values=values change=change/> };
        sections.into_iter().map(view).collect_view()
    };
    view! { <div class="recipe-fields">{sections}</div> }
}

#[component]
fn Section(
    name: String,
    fields: Vec<RecipeField>,
    values: Signal<BTreeMap<String, String>>,
    change: Callback<Change>,
) -> impl IntoView {
    let keys: Vec<String> = fields.iter().map(|field| field.key.clone()).collect();
    let own = name.clone();
    let is_optional = keys.contains(&own);
    let set = move || {
        values.with(|values| keys.iter().filter(|key| **key != own && values.contains_key(*key)).count())
    };
    let own = name.clone();
    let is_there = move || !is_optional || values.with(|values| values.contains_key(&own));
    let is_there = Memo::new(move |_| is_there());
    let fields = fields.into_iter().map(|field| {
        let is_section = field.entry == FieldEntry::Section;
        view! {
            <Show when=move || is_section || is_there.get()>
                <Entry field=field.clone() values=values change=change/>
            </Show>
        }
    });
    view! {
        <details>
            <summary>
                <code>{name}</code>
                {move || match set() { 0 => String::new(), count => format!(", {count} set") }}
            </summary>
            <div class="recipe-section">{fields.collect_view()}</div>
        </details>
    }
}

#[component]
fn Entry(
    field: RecipeField,
    values: Signal<BTreeMap<String, String>>,
    change: Callback<Change>,
) -> impl IntoView {
    let RecipeField { key, help, entry, default, range } = field;
    let (id, hint) = (format!("field-{key}"), format!("hint-{key}"));
    let label = key.rsplit('.').next().unwrap_or_default().to_owned();
    let stored = StoredValue::new(key.clone());
    let fallback = StoredValue::new(default.clone());
    let own = Memo::new(move |_| values.with(|values| values.get(&stored.get_value()).cloned()));
    let value = Memo::new(move |_| own.get().or_else(|| fallback.get_value()).unwrap_or_default());
    let send = move |value: Option<String>| change.run((stored.get_value(), value));
    let words = words(&help, default.as_deref(), range.as_deref());
    let input = match entry {
        FieldEntry::Section => view! {
            <input id=id.clone() type="checkbox" aria-describedby=hint.clone() prop:checked=move || own.get().is_some()
                on:change=move |event| send(is_checked(&event).then(String::new))/>
        }
        .into_any(),
        FieldEntry::Switch => view! {
            <input id=id.clone() type="checkbox" aria-describedby=hint.clone() prop:checked=move || value.get() == "true"
                on:change=move |event| send(Some(is_checked(&event).to_string()))/>
        }
        .into_any(),
        FieldEntry::Whole | FieldEntry::Number => {
            let is_whole = entry == FieldEntry::Whole;
            view! {
                <input id=id.clone() type="number" step=if is_whole { "1" } else { "any" } inputmode="decimal"
                    aria-describedby=hint.clone() prop:value=move || value.get()
                    on:change=move |event| send(number(&typed(&event), is_whole))/>
            }
            .into_any()
        }
        FieldEntry::Text => view! {
            <input id=id.clone() spellcheck="false" autocapitalize="off" aria-describedby=hint.clone()
                prop:value=move || bare(&value.get())
                on:change=move |event| send(Some(typed(&event)).filter(|text| !text.is_empty()).map(|text| quoted(&text)))/>
        }
        .into_any(),
        FieldEntry::One { choices } => {
            let options = choices.into_iter().map(|choice| {
                let own = choice.clone();
                view! { <option value=choice.clone() prop:selected=move || bare(&value.get()) == own>{choice.clone()}</option> }
            });
            view! {
                <select id=id.clone() aria-describedby=hint.clone()
                    on:change=move |event| send(Some(quoted(&event_target::<HtmlSelectElement>(&event).value())))>
                    {options.collect_view()}
                </select>
            }
            .into_any()
        }
        FieldEntry::Several { choices } => {
            let all = StoredValue::new(choices.clone());
            let boxes = choices.into_iter().map(|choice| {
                let (shown, own) = (choice.clone(), choice.clone());
                let toggle = move |event: web_sys::Event| {
                    let is_on = is_checked(&event);
                    let chosen = value.with_untracked(|value| listed(value));
                    let is_chosen = |one: &String| {
                        if *one == choice { is_on } else { chosen.contains(one) }
                    };
                    let chosen = all.with_value(|all| {
                        all.iter().filter(|one| is_chosen(one)).map(|one| quoted(one)).collect::<Vec<_>>()
                    });
                    send(Some(format!("[{}]", chosen.join(", "))));
                };
                view! {
                    <label>
                        <input type="checkbox" prop:checked=move || value.with(|value| listed(value)).contains(&own)
                            on:change=toggle/>
                        {shown}
                    </label>
                }
            });
            view! {
                <div id=id.clone() class="recipe-choices" role="group" aria-label=key.clone() aria-describedby=hint.clone()>
                    {boxes.collect_view()}
                </div>
            }
            .into_any()
        }
    };
    let is_changed = Memo::new(move |_| {
        let is_other = |own: &String| fallback.with_value(|default| default.as_ref() != Some(own));
        own.with(|own| own.as_ref().is_some_and(|own| !own.is_empty() && is_other(own)))
    });
    let reset = format!("Reset {key} to its default");
    view! {
        <div class="field">
            <label for=id>{label}</label>
            {input}
            <p class="hint" id=hint>
                {words}
                <Show when=move || is_changed.get()>
                    " "
                    <button class="button is-plain" type="button" aria-label=reset.clone() on:click=move |_| send(None)>"Reset"</button>
                </Show>
            </p>
        </div>
    }
}

/// What stands beneath a field.
fn words(help: &str, default: Option<&str>, range: Option<&str>) -> String {
    let mut words: Vec<String> = Vec::new();
    if !help.is_empty() {
        words.push(help.to_owned());
    }
    let default = default.map(|default| match default.replace(['[', ']', '"'], "") {
        default if default.is_empty() => "Default none".to_owned(),
        default => format!("Default {default}"),
    });
    let rest: Vec<String> = default.into_iter().chain(range.map(str::to_owned)).collect();
    if !rest.is_empty() {
        words.push(format!("{}.", rest.join("; ")));
    }
    words.join(" ")
}

fn is_checked(event: &web_sys::Event) -> bool {
    event_target::<HtmlInputElement>(event).checked()
}

fn typed(event: &web_sys::Event) -> String {
    event_target::<HtmlInputElement>(event).value().trim().to_owned()
}

/// A number in TOML, where a whole number is none of the others; nothing of an empty field.
fn number(text: &str, is_whole: bool) -> Option<String> {
    let needs_point = !is_whole && !text.is_empty() && !text.contains(['.', 'e', 'E']);
    let text = if needs_point { format!("{text}.0") } else { text.to_owned() };
    Some(text).filter(|text| !text.is_empty())
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn bare(value: &str) -> String {
    value.trim_matches('"').to_owned()
}

/// The texts of a list in TOML.
fn listed(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
