//! Ids of stored things: UUIDv7 behind one newtype per noun, so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids made later sort after ids made earlier.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "two calls differ, so it is no default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// An uploaded image.
    ImageId
}
id! {
    /// One model's answer on one image.
    AssessmentId
}
id! {
    /// A person who can sign in.
    UserId
}
id! {
    /// One browser in which a user is signed in.
    SessionId
}
id! {
    /// A personal API token.
    TokenId
}
id! {
    /// A link that works once: for a new user, or for a new password.
    InviteId
}
id! {
    /// One line of the audit log.
    AuditId
}
id! {
    /// A study: images that people rate under the same rules.
    StudyId
}
id! {
    /// One thing to rate in a study: an image, or a pair of them.
    ItemId
}
id! {
    /// Somebody who votes: a user, whoever uses the machine in local mode, or a person of an imported study.
    SubjectId
}
id! {
    /// One vote. Votes are never changed.
    VoteId
}
id! {
    /// All versions of one person's annotation of one item, with their reviews.
    ThreadId
}
id! {
    /// One version of an annotation. Versions are never changed.
    AnnotationId
}
id! {
    /// One word of a review, or a comment.
    ReviewId
}
id! {
    /// One version of a dataset.
    DatasetId
}
id! {
    /// An import or an export.
    TransferId
}
id! {
    /// Work that a worker does, such as a training.
    JobId
}
id! {
    /// A process that does jobs.
    WorkerId
}
id! {
    /// A file that a job made.
    ArtifactId
}
id! {
    /// A model that has a name.
    ModelId
}
