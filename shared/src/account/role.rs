//! Roles of users, and the scopes that they and their tokens have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a user is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the place: users, invites, the audit log, and everything else.
    Admin,
    /// Assesses images and trains models.
    Engineer,
    /// Assesses images and settles what annotators and models say.
    Reviewer,
    /// Looks at images and rates them.
    Annotator,
}

/// One thing that a user or a token may do. A token never does more than its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See images and assessments.
    Read,
    /// Add and delete images, and ask the model about them.
    Assess,
    /// Vote and annotate.
    Annotate,
    /// Make studies, see who voted how, and settle annotations.
    Review,
    /// Start and change training.
    Train,
    /// Read the server's counters at `/metrics`: all that a monitoring system needs.
    Metrics,
    /// Users, invites and the audit log.
    Admin,
}

/// A word that names no role or scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl Role {
    /// From the most to the least powerful.
    pub const ALL: [Role; 4] = [Role::Admin, Role::Engineer, Role::Reviewer, Role::Annotator];

    /// The name in JSON, in the database and on the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Engineer => "engineer",
            Role::Reviewer => "reviewer",
            Role::Annotator => "annotator",
        }
    }

    /// What users of this role may do.
    #[must_use]
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Role::Admin => &Scope::ALL,
            Role::Engineer => &[Scope::Read, Scope::Assess, Scope::Annotate, Scope::Review, Scope::Train],
            Role::Reviewer => &[Scope::Read, Scope::Assess, Scope::Annotate, Scope::Review],
            Role::Annotator => &[Scope::Read, Scope::Annotate],
        }
    }
}

impl Scope {
    /// In the order in which they are offered.
    pub const ALL: [Scope; 7] = [
        Scope::Read,
        Scope::Assess,
        Scope::Annotate,
        Scope::Review,
        Scope::Train,
        Scope::Metrics,
        Scope::Admin,
    ];

    /// The name in JSON, in the database and on the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Assess => "assess",
            Scope::Annotate => "annotate",
            Scope::Review => "review",
            Scope::Train => "train",
            Scope::Metrics => "metrics",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Role::ALL
            .into_iter()
            .find(|role| role.name() == word)
            .ok_or_else(|| UnknownWord { word: word.to_owned(), known: Role::ALL.map(Role::name).join(", ") })
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Scope::ALL.into_iter().find(|scope| scope.name() == word).ok_or_else(|| UnknownWord {
            word: word.to_owned(),
            known: Scope::ALL.map(Scope::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).expect("a name"), role.name());
        }
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).expect("a name"), scope.name());
        }
        let error = "root".parse::<Role>().expect_err("no role");
        assert_eq!(error.to_string(), "\"root\" is none of admin, engineer, reviewer, annotator");
    }

    #[test]
    fn only_admins_administer_and_everybody_reads() {
        for role in Role::ALL {
            let admin = role.scopes().contains(&Scope::Admin) || role.scopes().contains(&Scope::Metrics);
            assert_eq!(admin, role == Role::Admin, "{role}");
            assert!(role.scopes().contains(&Scope::Read), "{role}");
        }
    }
}
