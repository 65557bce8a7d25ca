//! GRPO: reinforcement learning from groups of sampled answers (Shao et al., 2024).
//!
//! For each image of a step the model samples a group of answers; each is rewarded, and the policy
//! moves towards those that are better than their group. `policy` is the arithmetic, `rewards` says
//! what an answer is worth, `run` is the loop.

pub mod policy;
pub mod rewards;
mod run;

pub use run::grpo;
