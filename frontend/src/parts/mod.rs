//! The pieces that pages are made of.

pub mod actions;
pub mod attributes;
pub mod connection;
pub mod copy;
pub mod details;
pub mod drop_target;
pub mod empty;
pub mod field;
pub mod header;
pub mod help;
pub mod history;
pub mod icon;
pub mod invites;
pub mod level_chip;
pub mod navigator;
pub mod reasoning;
pub mod score_scale;
pub mod secret;
pub mod sign_in;
pub mod tabs;
pub mod tile;
pub mod toasts;
pub mod tokens;
pub mod uploads;
pub mod viewer;
