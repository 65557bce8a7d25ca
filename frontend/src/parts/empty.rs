//! The gallery before the first photo.

use leptos::prelude::*;

use crate::parts::header::choose_files;
use crate::parts::score_scale::ScoreScale;
use crate::state::App;

/// What Q-Ponder does, where to begin, and what happens to photos.
#[component]
pub fn Empty() -> impl IntoView {
    let app = App::get();
    let model = move || app.info.get().map_or_else(|| "the model".to_owned(), |info| info.model.name);
    view! {
        <section class="empty">
            <button class="drop-here" on:click=move |_| choose_files()>
                <span class="corners" aria-hidden="true"></span>
                <span class="drop-title">"Drop a photograph"</span>
                <span class="muted">"or choose files, or paste one. PNG, JPEG or WebP; several at once."</span>
            </button>
            <div class="empty-text">
                <div>
                    <h2>"What you get"</h2>
                    <p>
                        "Q-Ponder looks at sharpness, noise, exposure, contrast, colour and compression, says in words
                        what it sees, weighs it, and ends with a score on the five-step scale that viewers use."
                    </p>
                    <ScoreScale score=Signal::stored(None) levels=Signal::stored(Vec::new()) probabilities=Signal::stored(None)/>
                </div>
                <div>
                    <h2>"What happens to your photos"</h2>
                    <p>
                        "They go to the server that this page came from and to no other. "{model}" runs there. The
                        original bytes are kept untouched, for you to look at again, until you delete them."
                    </p>
                    <p class="muted">
                        <kbd>"U"</kbd>" chooses files, "<kbd>"?"</kbd>" lists all keys. From the command line: "
                        <code>"qponder assess photo.jpg"</code>
                    </p>
                </div>
            </div>
        </section>
    }
}
