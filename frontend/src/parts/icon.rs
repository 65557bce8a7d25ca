//! Line icons, drawn on a grid of 16.

use leptos::prelude::*;

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Left,
    Right,
    Close,
    Upload,
    Copy,
    Download,
    Bin,
    Sun,
    Moon,
    HalfSun,
    Renew,
    Person,
}

impl Shape {
    fn path(self) -> &'static str {
        match self {
            Shape::Left => "M10 3 5 8l5 5",
            Shape::Right => "m6 3 5 5-5 5",
            Shape::Close => "m4 4 8 8M12 4l-8 8",
            Shape::Upload => "M8 10.5V2.5M4.5 6 8 2.5 11.5 6M2.5 10v3.5h11V10",
            Shape::Copy => "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
            Shape::Download => "M8 2.5v8M4.5 7 8 10.5 11.5 7M2.5 10v3.5h11V10",
            Shape::Bin => "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9",
            Shape::Sun => {
                "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1"
            }
            Shape::Moon => "M13.5 9.5A5.8 5.8 0 0 1 6.5 2.5a5.8 5.8 0 1 0 7 7z",
            Shape::HalfSun => {
                "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM8 2.5v11M8 5l3.8-1M8 8h5.5M8 11l3.8 1"
            }
            Shape::Person => {
                "M8 2.5a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2M2.8 13.5c.5-2.6 2.6-3.9 5.2-3.9s4.7 1.3 5.2 3.9"
            }
            Shape::Renew => "M13 8a5 5 0 1 1-1.5-3.6L13 5.8M13 2.5v3.3H9.7",
        }
    }
}

/// An icon in the colour of the text around it; the text beside it, or the label, says what it means.
#[component]
pub fn Icon(
    /// What it shows.
    shape: Shape,
) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d=shape.path()/>
        </svg>
    }
}
