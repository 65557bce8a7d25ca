//! GRPO: reinforcement learning from groups of sampled answers (Shao et al., 2024).
//!
//! For each image of a step the model samples a group of answers; each is rewarded, and the policy
//! moves towards those that are better than their group. `rollout` samples, `rewards` says what an answer
//! is worth, `verdicts` what a judge thinks of it, `policy` is the arithmetic, `update` makes gradients of it, `run` is the loop.

pub mod policy;
pub mod rewards;
pub mod rollout;
mod run;
pub mod update;
mod verdicts;

pub use run::grpo;
