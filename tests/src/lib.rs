//! What tests through public interfaces share: the real `qponder` binary with a data directory and
//! a database of its own, a small HTTP client, and images to send.

pub mod axe;
pub mod browser;
pub mod bucket;
pub mod cable;
pub mod client;
pub mod crowd;
pub mod database;
pub mod devtools;
pub mod faults;
pub mod figures;
pub mod labelled;
pub mod people;
pub mod pictures;
pub mod proxy;
pub mod server;
pub mod site;
pub mod trainings;
