//! From bytes to patches: the one path that every image takes, on the server and in the browser.

mod decode;
mod encode;
mod format;
mod patch_config;
mod patches;
mod resize;
mod rgb;

pub use decode::{DecodeError, Decoded, Limits, Warning, decode};
pub use encode::{EncodeError, encode_png, thumbnail_jpeg};
pub use format::{Format, Header, probe};
pub use patch_config::{PatchConfig, PatchError, smart_resize};
pub use patches::Patches;
pub use resize::{Filter, fit_within, resize};
pub use rgb::RgbImage;
