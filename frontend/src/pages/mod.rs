//! What an address shows.

pub mod account;
pub mod audit;
pub mod gallery;
pub mod image;
pub mod sign_in;
pub mod unknown;
pub mod users;
pub mod welcome;
