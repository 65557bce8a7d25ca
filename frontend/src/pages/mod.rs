//! What an address shows.

pub mod account;
pub mod annotate;
pub mod audit;
pub mod compare;
pub mod compare_image;
pub mod compare_jobs;
pub mod gallery;
pub mod health;
pub mod image;
pub mod job;
pub mod jobs;
pub mod model;
pub mod models;
pub mod quick_score;
pub mod review;
pub mod side_by_side;
pub mod sign_in;
pub mod statistics;
pub mod storage;
pub mod studies;
pub mod study;
pub mod transfers;
pub mod unknown;
pub mod users;
pub mod welcome;
