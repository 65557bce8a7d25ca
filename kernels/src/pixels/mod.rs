//! From bytes to patches: the one path that every image takes, on the server and in the browser.

mod rgb;

pub use rgb::RgbImage;
