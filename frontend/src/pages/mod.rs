//! What an address shows.

pub mod gallery;
pub mod image;
pub mod unknown;
