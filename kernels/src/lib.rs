//! Pixels and kernels that the server and the browser share.
//!
//! Nothing here knows of HTTP, SQL or candle; everything compiles to WebAssembly.

pub mod pixels;
