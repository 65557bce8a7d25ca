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
    Dice,
}

impl Shape {
    fn path(self) -> &'static str {
        match self {
            Shape::Left => "M10 3 5 8l5 5",
            Shape::Right => "m6 3 5 5-5 5",
            Shape::Close => "m4 4 8 8M12 4l-8 8",
            Shape::Upload => "M8 10.5V2.5M4.5 6 8 2.5 11.5 6M2.5 10v3.5h11V10",
            Shape::Copy => "M5.5 5.5h8v8h-8zM10.5 5.500v-3h-8v8h3",
            Shape::Download => "M8 2.500v8M4.5 7 8 10.500 11.500 7M2.500 10v3.500h11V10",
            Shape::Bin => "M2.500 4.500h11M6 4.500v-2h4v2M4 4.500l.7 9h6.600l.7-9",
            Shape::Sun => {
                "M8 5.200a2.800 2.800 0 1 0 0 5.600 2.800 2.800 0 0 0 0-5.600M8 1v1.500M8 13.500V15M1 8h1.500M13.500 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1"
            }
            Shape::Moon => "M13.500 9.500A5.800 5.800 0 0 1 6.500 2.500a5.800 5.800 0 1 0 7 7z",
            Shape::HalfSun => {
                "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM8 2.500v11M8 5l3.800-1M8 8h5.500M8 11l3.800 1"
            }
            Shape::Dice => "M2.500 2.500h11v11h-11zM5.500 5.500h.01M10.500 10.500h.01M8 8h.01",
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
