//! What may still be spent: calls and money, over all sittings.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use qponder_shared::recipe::SpendLimits;
use serde::Serialize;

use crate::endpoint::Usage;

/// A limit of the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    MaxCalls,
    MaxCost,
}

impl fmt::Display for Limit {
    /// The key in the recipe.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::MaxCalls => "limits.max_calls",
            Limit::MaxCost => "limits.max_cost",
        })
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Granted,
    /// Not before a running call ends: it may cost less than it could.
    Wait,
    Spent(Limit),
}

#[derive(Default)]
struct Spent {
    calls: u64,
    cost: f64,
    /// What running calls may cost.
    reserved: f64,
}

/// Counts calls and costs. A call reserves the most that it may cost before it is made, so that no limit is
/// overstepped however many run at once.
pub(crate) struct Budget {
    limits: SpendLimits,
    spent: Mutex<Spent>,
}

impl Budget {
    /// A budget of which earlier sittings spent a part.
    pub(super) fn new(limits: &SpendLimits, calls: u64, cost: f64) -> Self {
        Self { limits: limits.clone(), spent: Mutex::new(Spent { calls, cost, reserved: 0.0 }) }
    }

    /// The price of so many tokens.
    pub(crate) fn price(limits: &SpendLimits, usage: Usage) -> f64 {
        (usage.prompt_tokens as f64 * limits.prompt_price
            + usage.completion_tokens as f64 * limits.completion_price)
            / 1e6
    }

    fn spent(&self) -> std::sync::MutexGuard<'_, Spent> {
        // Three numbers are whole after any panic.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a call that costs `worst` at most.
    pub(super) fn reserve(&self, worst: f64) -> Grant {
        let mut spent = self.spent();
        if self.limits.max_calls.is_some_and(|most| spent.calls >= most) {
            return Grant::Spent(Limit::MaxCalls);
        }
        if self.limits.max_cost.is_some_and(|most| spent.cost + spent.reserved + worst > most) {
            return if spent.reserved > 0.0 { Grant::Wait } else { Grant::Spent(Limit::MaxCost) };
        }
        spent.calls += 1;
        spent.reserved += worst;
        Grant::Granted
    }

    /// A call that reserved `worst` ended and cost `cost`.
    pub(super) fn settle(&self, worst: f64, cost: f64) {
        let mut spent = self.spent();
        // Sums and differences of the same numbers need not end in exactly nothing.
        spent.reserved = if spent.reserved - worst < 1e-12 { 0.0 } else { spent.reserved - worst };
        spent.cost += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_calls_count_at_their_worst_until_they_end() {
        let limits = SpendLimits { max_cost: Some(1.0), prompt_price: 1.0, ..SpendLimits::default() };
        let budget = Budget::new(&limits, 0, 0.1);
        assert_eq!(budget.reserve(0.4), Grant::Granted);
        assert_eq!(budget.reserve(0.4), Grant::Granted);
        assert_eq!(budget.reserve(0.4), Grant::Wait);
        budget.settle(0.4, 0.1);
        assert_eq!(budget.reserve(0.4), Grant::Granted);
        budget.settle(0.4, 0.4);
        budget.settle(0.4, 0.4);
        assert_eq!(budget.reserve(0.4), Grant::Spent(Limit::MaxCost));
    }

    #[test]
    fn calls_of_earlier_sittings_count() {
        let limits = SpendLimits { max_calls: Some(3), ..SpendLimits::default() };
        let budget = Budget::new(&limits, 2, 0.0);
        assert_eq!(budget.reserve(0.0), Grant::Granted);
        assert_eq!(budget.reserve(0.0), Grant::Spent(Limit::MaxCalls));
    }

    #[test]
    fn prices_are_of_a_million_tokens() {
        let limits = SpendLimits { prompt_price: 2.0, completion_price: 8.0, ..SpendLimits::default() };
        let usage = Usage { prompt_tokens: 500_000, completion_tokens: 250_000 };
        assert!((Budget::price(&limits, usage) - 3.0).abs() < 1e-12);
    }
}
