//! The keyboard: what each key does, and the table that the help shows.

use std::sync::Arc;
use std::time::Duration;

use leptos::ev;
use leptos::prelude::*;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::view::Point;
use qponder_shared::{ImageId, StudyId};
use wasm_bindgen::JsCast as _;
use web_sys::{HtmlElement, HtmlInputElement, KeyboardEvent};

use crate::annotating::{Asking, Step};
use crate::pages::quick_score;
use crate::parts::viewer::Viewer;
use crate::parts::{copy, header, tile};
use crate::route::{self, Route};
use crate::state::App;
use crate::toasts::Offer;

/// Device pixels that an arrow key moves the image by.
const PAN: f64 = 96.0;

/// Keys that do the same or opposite things, and what.
pub type KeyRow = (&'static [&'static str], &'static str);

/// What the help lists: a heading, then its keys.
pub const TABLE: [(&str, &[KeyRow]); 4] = [
    (
        "Everywhere",
        &[
            (&["U"], "choose photos to upload; on Quick score, to score here"),
            (&["Ctrl V"], "take what was copied, in the same way"),
            (&["T"], "light, dark or as the system"),
            (&["?"], "show these keys"),
            (&["Esc"], "back, or close"),
        ],
    ),
    (
        "Gallery",
        &[
            (&["J", "→"], "next image"),
            (&["K", "←"], "previous image"),
            (&["↑", "↓"], "row above, row below"),
            (&["Enter"], "open"),
            (&["S", "V"], "pick an image, view the picked ones side by side"),
            (&["R", "Q"], "reason mode, quick mode for new photos"),
            (&["Del"], "delete"),
        ],
    ),
    (
        "Image",
        &[
            (&["J", "K"], "next and previous image"),
            (&["R"], "assess in reason mode"),
            (&["Q"], "assess in quick mode"),
            (&["X"], "cancel the assessment that runs"),
            (&["C"], "copy the assessment as JSON"),
            (&["V"], "compare what models say"),
            (&["A", "L"], "ask the missing models; link images side by side"),
            (&["+", "−"], "zoom in, zoom out"),
            (&["0", "F"], "1:1 pixels, fit"),
            (&["←", "→", "↑", "↓"], "move around a large image, else next and previous"),
            (&["Del"], "delete"),
        ],
    ),
    (
        "Rating",
        &[
            (&["1", "5"], "from bad to excellent; the same again goes on"),
            (&["Enter"], "go on"),
            (&["S", "N", "E", "C", "O", "M"], "choose the attribute that a number rates"),
            (&["Space"], "the other image of a pair; 1 first, 2 same, 3 second"),
            (&["Z", "Y"], "undo, redo; also votes that were sent"),
            (&["X", "G"], "skip with a reason, flag"),
            (&["+", "−", "0", "F"], "zoom in, out, 1:1, fit; it stays for the next image"),
            (&["←", "→", "↑", "↓"], "move around a large image"),
        ],
    ),
];

/// Listens for keys for as long as the page lives.
pub fn listen(app: App) {
    window_event_listener(ev::keydown, move |event| {
        let is_chord = event.ctrl_key() || event.meta_key() || event.alt_key();
        if !is_chord && !is_typing(&event) && press(app, &event) {
            event.prevent_default();
        }
    });
}

/// Acts on a key; whether it means something here.
fn press(app: App, event: &KeyboardEvent) -> bool {
    let is_of_use = app.session.is_in_untracked() || app.route.get_untracked() == Route::QuickScore;
    if app.help.get_untracked() || !is_of_use {
        // The dialog closes itself on Escape, and signing in needs no keys but those that type.
        return false;
    }
    if let Route::Annotate(study) = app.route.get_untracked()
        && event.key() != "?"
    {
        return press_in_study(app, study, &event.key());
    }
    match event.key().as_str() {
        "?" => app.help.set(true),
        "u" | "U" if app.route.get_untracked() == Route::QuickScore => quick_score::choose_files(),
        "u" | "U" => header::choose_files(),
        "t" | "T" => app.theme.update(|theme| *theme = theme.next()),
        key => {
            return match app.route.get_untracked() {
                Route::Image(id) => press_on_image(app, id, key),
                Route::Gallery => press_in_gallery(app, key),
                Route::CompareImage(id) => press_in_comparison(app, id, key),
                Route::SideBySide(_) => press_side_by_side(app, key),
                Route::Statistics(study) if key == "Escape" => {
                    route::go(app, Route::Study(study));
                    true
                }
                Route::Model(_) if key == "Escape" => {
                    route::go(app, Route::Models);
                    true
                }
                Route::Job(_) | Route::CompareJobs(_) if key == "Escape" => {
                    route::go(app, Route::Jobs);
                    true
                }
                Route::Study(_) if key == "Escape" => {
                    route::go(app, Route::Studies);
                    true
                }
                Route::Account
                | Route::Users
                | Route::Audit
                | Route::Storage
                | Route::Health
                | Route::Studies
                | Route::Compare
                | Route::Review(_)
                | Route::Transfers
                | Route::Jobs
                | Route::TrainOn(_)
                | Route::Models
                | Route::QuickScore
                    if key == "Escape" =>
                {
                    route::go(app, Route::Gallery);
                    true
                }
                _ => false,
            };
        }
    }
    true
}

fn press_in_gallery(app: App, key: &str) -> bool {
    match key {
        "j" | "J" | "ArrowRight" => tile::focus_beside(1),
        "k" | "K" | "ArrowLeft" => tile::focus_beside(-1),
        "ArrowDown" => tile::focus_row(1.0),
        "ArrowUp" => tile::focus_row(-1.0),
        "s" | "S" => {
            let Some(id) = tile::focused() else { return false };
            app.comparing.pick(app, id);
            true
        }
        "v" | "V" => app.comparing.view(app),
        "r" | "R" => choose_mode(app, Mode::Reason),
        "q" | "Q" => choose_mode(app, Mode::Quick),
        "Delete" => {
            let Some(id) = tile::focused() else { return false };
            let name = app.gallery.find(id).map(|card| card.image.with_untracked(|image| image.name.clone()));
            tile::focus_beside(1);
            app.remove(id, &name.unwrap_or_default());
            true
        }
        _ => false,
    }
}

fn press_in_comparison(app: App, id: ImageId, key: &str) -> bool {
    match key {
        "Escape" | "v" | "V" => route::go(app, Route::Image(id)),
        "j" | "J" => turn_comparison(app, id, 1),
        "k" | "K" => turn_comparison(app, id, -1),
        "a" | "A" => app.comparing.ask_missing.update(|asked| *asked += 1),
        _ => return false,
    }
    true
}

fn turn_comparison(app: App, id: ImageId, step: isize) {
    if let Some(next) = untrack(|| app.gallery.neighbour(id, step)) {
        route::replace(app, Route::CompareImage(next));
    }
}

fn press_side_by_side(app: App, key: &str) -> bool {
    if key == "Escape" {
        route::go(app, Route::Gallery);
        return true;
    }
    if matches!(key, "l" | "L") {
        app.comparing.is_linked.update(|is_linked| *is_linked = !*is_linked);
        return true;
    }
    app.comparing.focused_pane().is_some_and(|viewer| press_on_viewer(viewer, key))
}

/// What keys do to an image in view.
fn press_on_viewer(viewer: Viewer, key: &str) -> bool {
    match key {
        "+" | "=" => viewer.zoom_in(),
        "-" | "_" => viewer.zoom_out(),
        "0" | "1" => viewer.one_to_one(),
        "f" | "F" => viewer.fit(),
        "ArrowLeft" => viewer.pan(Point { x: PAN, y: 0.0 }),
        "ArrowRight" => viewer.pan(Point { x: -PAN, y: 0.0 }),
        "ArrowUp" => viewer.pan(Point { x: 0.0, y: PAN }),
        "ArrowDown" => viewer.pan(Point { x: 0.0, y: -PAN }),
        _ => return false,
    }
    true
}

fn choose_mode(app: App, mode: Mode) -> bool {
    app.mode.set(mode);
    app.toasts.say(match mode {
        Mode::Reason => "New photos are assessed with reasons.",
        Mode::Quick => "New photos get a quick score.",
    });
    true
}

fn press_on_image(app: App, id: ImageId, key: &str) -> bool {
    let viewer = app.viewer;
    if key.starts_with("Arrow") && is_in_panel() {
        // There the arrows scroll the text.
        return false;
    }
    match key {
        "Escape" => route::go(app, Route::Gallery),
        "j" | "J" => turn(app, id, 1),
        "k" | "K" => turn(app, id, -1),
        "r" | "R" => app.answers.ask(app, id, Mode::Reason, Sampling::default()),
        "q" | "Q" => app.answers.ask(app, id, Mode::Quick, Sampling::default()),
        "x" | "X" => {
            if let Some(answer) = app.answers.live(id) {
                app.answers.cancel(app, &answer);
            }
        }
        "c" | "C" => copy::copy_shown(app),
        "v" | "V" => route::go(app, Route::CompareImage(id)),
        "ArrowLeft" if !viewer.can_pan() => turn(app, id, -1),
        "ArrowRight" if !viewer.can_pan() => turn(app, id, 1),
        "ArrowUp" | "ArrowDown" if !viewer.can_pan() => return false,
        "Delete" => app.remove(id, &name_of(app, id)),
        key => return press_on_viewer(viewer, key),
    }
    true
}

fn press_in_study(app: App, study: StudyId, key: &str) -> bool {
    let (work, viewer) = (app.annotating, app.viewer);
    if work.asking.get_untracked().is_some() {
        if key == "Escape" {
            work.asking.set(None);
        }
        return key == "Escape";
    }
    let step = work.step.get_untracked();
    let is_rating = step == Step::Rate;
    match key {
        "Escape" => route::go(app, Route::Study(study)),
        "Enter" if is_rating => work.submit(app),
        "Enter" | " " if matches!(step, Step::Feedback(_) | Step::Break) => work.go_on(app),
        " " if is_rating && work.is_pair() => work.side.update(|side| *side = 1 - *side),
        "z" | "Z" => work.undo(),
        "y" | "Y" => work.redo(),
        "x" | "X" if is_rating => work.asking.set(Some(Asking::Skip)),
        "g" | "G" if is_rating => work.asking.set(Some(Asking::Flag)),
        key if is_rating => {
            let Some(task) = work.task.get_untracked() else { return false };
            let mut sheet = work.sheet.get_untracked();
            let is_again = sheet.press(task.task, key) && sheet == work.sheet.get_untracked();
            if is_again {
                // The same number twice: that is it.
                work.submit(app);
            } else if sheet == work.sheet.get_untracked() {
                return press_on_viewer(viewer, key);
            } else {
                work.change(app, |now| *now = sheet);
            }
        }
        key => return press_on_viewer(viewer, key),
    }
    true
}

/// Shows the next or previous image of the gallery, and loads more of it near the end.
pub fn turn(app: App, from: ImageId, step: isize) {
    match untrack(|| app.gallery.neighbour(from, step)) {
        Some(id) => route::replace(app, Route::Image(id)),
        None if step > 0 && untrack(|| app.gallery.has_more()) => {
            app.gallery.load_more(app);
            let again = Offer { label: "Next", act: Arc::new(move || turn(app, from, 1)) };
            app.toasts.offer("Loading more images.", false, again, Duration::from_secs(4));
        }
        None => app.toasts.say(if step > 0 { "This is the last image." } else { "This is the first image." }),
    }
}

fn name_of(app: App, id: ImageId) -> String {
    let card = untrack(|| app.gallery.find(id));
    card.map(|card| card.image.with_untracked(|image| image.name.clone()))
        .unwrap_or_else(|| "the image".into())
}

fn is_in_panel() -> bool {
    let active = document().active_element();
    active.is_some_and(|active| active.closest(".panel").ok().flatten().is_some())
}

/// Whether the key goes into a field, or to a control that has its own use for it.
fn is_typing(event: &KeyboardEvent) -> bool {
    let Some(target) = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) else {
        return false;
    };
    if let Some(input) = target.dyn_ref::<HtmlInputElement>() {
        let takes_text = !matches!(input.type_().as_str(), "radio" | "checkbox" | "file" | "button");
        return takes_text || event.key().starts_with("Arrow");
    }
    matches!(target.tag_name().as_str(), "TEXTAREA" | "SELECT") || target.is_content_editable()
}
