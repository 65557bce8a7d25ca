//! From bytes to patches: the one path that every image takes, on the server and in the browser.

mod patch_config;
mod patches;
mod resize;
mod rgb;

pub use patch_config::{PatchConfig, PatchError, smart_resize};
pub use patches::Patches;
pub use resize::{Filter, fit_within, resize};
pub use rgb::RgbImage;
