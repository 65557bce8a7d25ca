//! Studies: people rate images under the same rules, correct what models wrote, and review each other.

mod annotation;
pub mod check;
mod correction;
pub mod dataset;
mod rating;
pub mod sheet;
pub mod statistics;
mod task;
mod wire;

pub use annotation::{
    Annotation, Comment, CreateAnnotation, CreateReview, QueueSort, Review, Thread, ThreadState,
    ThreadSummary, Verdict, disagreement,
};
pub use correction::Correction;
pub use rating::{Conditions, CreateVote, Preference, Rating, VoteReceipt};
pub use sheet::Sheet;
pub use task::{Draft, Feedback, Given, Progress, Reveal, SaveDraft, Task, TaskImage, Tasks};
pub use wire::{
    AddItems, AddMember, Added, ChangeItem, ChangeStudy, CreateStudy, Item, ItemKind, Member, Study,
    StudyCounts, StudyStatus, StudyTask,
};
