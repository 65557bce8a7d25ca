//! What people call a job and want to remember of it.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::job::EditJob;
use web_sys::{HtmlTextAreaElement, SubmitEvent};

use crate::format::sentence;
use crate::parts::field::{Field, FormError};
use crate::parts::guidelines::Guidelines;
use crate::state::App;
use crate::training::{self, Followed};

/// Notes and tags, and a form to change them.
#[component]
pub fn JobNotes(followed: Followed) -> impl IntoView {
    let app = App::get();
    let is_open = RwSignal::new(false);
    let (name, tags, notes) =
        (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    let error = RwSignal::new(None);
    let known = Memo::new(move |_| {
        followed
            .job
            .with(|job| job.as_ref().map(|job| (job.name.clone(), job.tags.clone(), job.notes.clone())))
    });
    let open = move |_| {
        if let Some((known_name, known_tags, known_notes)) = known.get_untracked() {
            name.set(known_name);
            tags.set(known_tags.join(", "));
            notes.set(known_notes);
            is_open.set(true);
        }
    };
    let save = move |event: SubmitEvent| {
        event.prevent_default();
        error.set(None);
        let tags = tags.get_untracked();
        let tags = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let body = EditJob {
            name: Some(name.get_untracked()),
            notes: Some(notes.get_untracked()),
            tags: Some(tags.map(str::to_owned).collect()),
        };
        spawn_local(async move {
            match training::edit(followed.id, &body).await {
                Ok(job) => {
                    let _ = followed.job.try_set(Some(job));
                    let _ = is_open.try_set(false);
                    app.announcement.set("The notes are saved.".to_owned());
                }
                Err(failure) => drop(error.try_set(Some(sentence(&failure)))),
            }
        });
    };
    view! {
        <section>
            <div class="chart-tools">
                <h2>"Notes"</h2>
                <Show when=move || !is_open.get()><button class="button" on:click=open>"Edit name, tags and notes"</button></Show>
            </div>
            <Show when=move || is_open.get() fallback=move || view! {
                {move || known.get().map(|(_, tags, notes)| view! {
                    {(!tags.is_empty()).then(|| view! {
                        <p>{tags.into_iter().map(|tag| view! { <span class="tag">{tag}</span>" " }).collect_view()}</p>
                    })}
                    {(!notes.is_empty()).then(|| view! { <Guidelines text=notes/> })}
                })}
            }>
                <form class="form" on:submit=save>
                    <div class="form is-row">
                        <Field label="Name" name="job-new-name" value=name/>
                        <Field label="Tags" name="job-tags" value=tags required=false hint="With commas between them."/>
                    </div>
                    <div class="field is-whole">
                        <label for="job-notes">"Notes, in Markdown"</label>
                        <textarea id="job-notes" rows="6" prop:value=move || notes.get()
                            on:input=move |event| notes.set(event_target::<HtmlTextAreaElement>(&event).value())></textarea>
                    </div>
                    <FormError message=error/>
                    <div class="row-actions">
                        <button class="button is-primary">"Save"</button>
                        <button class="button" type="button" on:click=move |_| is_open.set(false)>"Leave it as it was"</button>
                    </div>
                </form>
            </Show>
        </section>
    }
}
