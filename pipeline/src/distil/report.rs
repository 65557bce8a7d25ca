//! What came of a distillation: `report.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::calls::{Calls, Limit};

/// The whole result.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub model: String,
    pub prompt_version: &'static str,
    pub images: usize,
    /// Images that could not be read, each answer to them counted.
    pub unreadable_images: usize,
    /// Answers that the recipe asks for.
    pub wanted: usize,
    /// Answers that came.
    pub answered: usize,
    /// Answers that passed every filter.
    pub accepted: usize,
    /// Images with an accepted answer.
    pub images_accepted: usize,
    /// Answers that each filter refuses. One answer may be refused by several.
    pub refused: BTreeMap<&'static str, usize>,
    /// Answers that a filter alone refuses: what switching it off would add.
    pub refused_by_it_alone: BTreeMap<&'static str, usize>,
    pub calls: Calls,
    /// The limit that ended it before all answers were there.
    pub limit: Option<Limit>,
}
