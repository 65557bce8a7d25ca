//! What the server, the page, the command line and the training pipeline say to each other.
//!
//! Wire types, ids, the response grammar, recipes and statistics. Pure data and pure functions:
//! no I/O, no async, no tensors; everything here also compiles to WebAssembly.

#![forbid(unsafe_code)]

pub mod account;
pub mod api;
pub mod attribute;
pub mod compare;
pub mod dataset;
pub mod day;
pub mod distortion;
pub mod grammar;
pub mod ids;
pub mod job;
pub mod manifest;
pub mod operation;
pub mod prompt;
pub mod quick;
pub mod recipe;
pub mod registry;
pub mod score;
pub mod stats;
pub mod study;
pub mod subjective;
pub mod transcript;
pub mod transfer;
pub mod verdict;
pub mod view;
pub mod weights;

pub use account::{Role, Scope};
pub use attribute::Attribute;
pub use distortion::{Distortion, DistortionGroup, DistortionKind, Severity};
pub use ids::{
    AnnotationId, ArtifactId, AssessmentId, AuditId, DatasetId, ImageId, InviteId, ItemId, JobId, ModelId,
    ReviewId, SessionId, StudyId, SubjectId, ThreadId, TokenId, TransferId, UserId, VoteId, WorkerId,
};
pub use score::{Level, Score};
