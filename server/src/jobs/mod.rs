//! Jobs: who hears of them, and who does them.
//!
//! A worker claims one job at a time, holds it by a lease that it renews, and works in a process of its own (a child
//! that runs the command of the job's kind), so that whatever ends the work does not end the worker. The child
//! dies with its worker: nobody goes on writing checkpoints of a job that another worker took up.

mod answers;
mod artifacts;
mod attempt;
mod batch;
mod child;
mod gpu;
mod hearing;
mod inputs;
mod keeper;
mod news;
mod numbers;
mod outcome;
mod safe;
mod tidying;
mod worker;

pub use artifacts::{ArtifactError, fetch};
pub use inputs::Places;
pub use news::{JobNews, Listener};
pub use tidying::tidy;
pub use worker::{Worker, WorkerSettings};
