//! The paper as code: Qwen2.5-VL on candle, degradations and proxy labels, the rule-based teacher,
//! cold-start training, and assessment.
//!
//! Plain Rust on the outside: callers hand over images and paths and get answers, never tensors.
//! Nothing here knows of HTTP or SQL.

pub mod adapter;
pub mod assess;
pub mod batch;
pub mod calls;
pub mod check_device;
pub mod dataset;
pub mod degrade;
pub mod device;
pub mod distil;
pub mod endpoint;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod generate;
pub mod journal;
pub mod judge;
pub mod nano;
pub mod ops;
pub mod photographs;
pub mod processor;
pub mod proxy;
pub mod qwen2_5_vl;
pub mod save;
pub mod teacher;
pub mod train;
