//! Pixels, the model's engine and its files: what the server and the browser share.
//!
//! Nothing here knows of HTTP, SQL or candle; everything compiles to WebAssembly.

pub mod engine;
pub mod gguf;
pub mod layout;
pub mod pixels;
#[cfg(feature = "web")]
pub mod web;
