//! What the calls to an endpoint may cost.

use serde::{Deserialize, Serialize};

use super::Rule;

/// What may be spent, over all sittings that write into one directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpendLimits {
    /// Calls at most, repeated ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
    /// Most that the calls may cost, in the currency of the prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// Price of a million tokens that the endpoint reads.
    pub prompt_price: f64,
    /// Price of a million tokens that the endpoint writes.
    pub completion_price: f64,
}

impl SpendLimits {
    /// Ranges of the keys of `[limits]`.
    pub(super) fn rules(&self) -> [Rule; 5] {
        let priced = self.prompt_price > 0.0 || self.completion_price > 0.0;
        let cost = self.max_cost.unwrap_or(1.0);
        [
            Rule::at_least_one("limits.max_calls", self.max_calls.map_or(1, |calls| calls as usize)),
            Rule::between("limits.prompt_price", self.prompt_price, 0.0, 1e6),
            Rule::between("limits.completion_price", self.completion_price, 0.0, 1e6),
            Rule::new("limits.max_cost", cost, cost > 0.0, "it must be above 0"),
            Rule::new(
                "limits.max_cost",
                cost,
                self.max_cost.is_none() || priced,
                "without limits.prompt_price and limits.completion_price nothing can be counted against it",
            ),
        ]
    }
}
