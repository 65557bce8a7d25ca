//! Bradley–Terry: strengths from "which of these two is better" (Bradley, Terry, 1952; Hunter, 2004, "MM
//! algorithms for generalized Bradley–Terry models"). P(a beats b) = 1 / (1 + exp(b − a)).
//!
//! Maximum likelihood by Newton's method, in time cubic in the number of items.

use serde::{Deserialize, Serialize};

use super::cholesky::Cholesky;

/// What came of comparing two items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// Index into the caller's list of items.
    pub first: usize,
    /// Index into the caller's list of items.
    pub second: usize,
    /// How often the first was preferred.
    pub first_won: u32,
    /// How often the second was preferred.
    pub second_won: u32,
    /// How often neither was; each counts as half a win for both.
    pub ties: u32,
}

/// The strengths of the items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Strengths {
    pub items: Vec<Strength>,
    /// Newton steps taken.
    pub iterations: usize,
    /// Whether the last step was below 1e-10.
    pub converged: bool,
}

/// The strength of one item.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Strength {
    /// Natural logarithm of the odds against an item of mean strength; the mean of all is 0.
    pub strength: f64,
    /// Standard error of that: from the Fisher information under zero mean.
    pub error: f64,
    /// Comparisons that the item took part in.
    pub n: u64,
}

/// Comparisons that no strengths can be had from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoStrengths {
    #[error("comparison {at} names item {item}, but there are {items} items; count from 0")]
    Item { at: usize, item: usize, items: usize },
    #[error("comparison {at} sets item {item} against itself; leave it out")]
    Same { at: usize, item: usize },
    /// Each group can be placed within itself only.
    #[error(
        "{} cannot be placed on one scale: no chain of wins leads both ways between them; \
             compare items of different groups more, or leave groups out",
        listed(groups)
    )]
    NotConnected { groups: Vec<Vec<usize>> },
}

fn listed(groups: &[Vec<usize>]) -> String {
    const SHOWN: usize = 8;
    let name = |group: &Vec<usize>| {
        let named: Vec<String> = group.iter().take(SHOWN).map(usize::to_string).collect();
        let more = if group.len() > SHOWN { ", …" } else { "" };
        format!("[{}{more}]", named.join(", "))
    };
    let named: Vec<String> = groups.iter().take(SHOWN).map(name).collect();
    let more = if groups.len() > SHOWN { ", …" } else { "" };
    format!("{} groups of items ({}{more})", groups.len(), named.join(", "))
}

/// The probability that an item of strength `a` is preferred to one of strength `b`.
#[must_use]
pub fn win_probability(a: f64, b: f64) -> f64 {
    1.0 / (1.0 + (b - a).exp())
}

const MOST_ITERATIONS: usize = 100;
const SMALLEST_STEP: f64 = 1e-10;

/// Strengths of `items` items. A pair may come more than once, in either order.
///
/// # Errors
/// For an index out of range, an item against itself, and items between which no chain of wins leads both
/// ways, whose strengths would be infinitely far apart.
pub fn bradley_terry(comparisons: &[Comparison], items: usize) -> Result<Strengths, NoStrengths> {
    let wins = wins(comparisons, items)?;
    let groups = groups(&wins);
    if groups.len() > 1 {
        return Err(NoStrengths::NotConnected { groups });
    }
    let mut strengths = vec![0.0; items];
    let (mut iterations, mut converged) = (0, items < 2);
    while !converged && iterations < MOST_ITERATIONS {
        let (gradient, information) = slopes(&wins, &strengths);
        let Some(factor) = Cholesky::new(information) else { break };
        let step = factor.solve(&gradient);
        let before = log_likelihood(&wins, &strengths);
        let moved =
            |share: f64| strengths.iter().zip(&step).map(|(s, d)| s + share * d).collect::<Vec<f64>>();
        // The likelihood is concave: some share of the step never makes it worse, but for rounding.
        let shares = [1.0, 0.5, 0.25, 0.125, 0.062_5, 0.015_625, 0.001];
        let better = |next: &Vec<f64>| log_likelihood(&wins, next) >= before - 1e-12 * before.abs();
        let Some(next) = shares.into_iter().map(moved).find(better) else { break };
        strengths = next;
        iterations += 1;
        converged = step.iter().all(|step| step.abs() < SMALLEST_STEP);
    }
    let mean = strengths.iter().sum::<f64>() / items.max(1) as f64;
    let errors = match Cholesky::new(slopes(&wins, &strengths).1) {
        Some(factor) if items > 1 => {
            factor.inverse_diagonal().iter().map(|v| (v - 1.0 / items as f64).max(0.0).sqrt()).collect()
        }
        _ => vec![0.0; items],
    };
    let mut n = vec![0; items];
    for c in comparisons {
        let all = u64::from(c.first_won) + u64::from(c.second_won) + u64::from(c.ties);
        n[c.first] += all;
        n[c.second] += all;
    }
    let item = |at: usize| Strength { strength: strengths[at] - mean, error: errors[at], n: n[at] };
    Ok(Strengths { items: (0..items).map(item).collect(), iterations, converged })
}

/// For each item whom it was preferred to and how often, ties as half.
type Wins = Vec<Vec<(usize, f64)>>;

fn wins(comparisons: &[Comparison], items: usize) -> Result<Wins, NoStrengths> {
    let mut wins = vec![Vec::new(); items];
    for (at, &Comparison { first, second, first_won, second_won, ties }) in comparisons.iter().enumerate() {
        if let Some(&item) = [first, second].iter().find(|&&item| item >= items) {
            return Err(NoStrengths::Item { at, item, items });
        }
        if first == second {
            return Err(NoStrengths::Same { at, item: first });
        }
        for (winner, loser, count) in [(first, second, first_won), (second, first, second_won)] {
            let count = f64::from(count) + f64::from(ties) / 2.0;
            if count > 0.0 {
                wins[winner].push((loser, count));
            }
        }
    }
    Ok(wins)
}

fn log_likelihood(wins: &Wins, strengths: &[f64]) -> f64 {
    let each =
        wins.iter().enumerate().flat_map(|(winner, beaten)| beaten.iter().map(move |&(b, n)| (winner, b, n)));
    each.map(|(winner, loser, count)| -count * softplus(strengths[loser] - strengths[winner])).sum()
}

/// ln(1 + exp(x)) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The gradient of the log-likelihood, and the Fisher information plus 1/n everywhere: that fixes the mean,
/// which the comparisons say nothing of, and makes it invertible.
fn slopes(wins: &Wins, strengths: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let items = strengths.len();
    let mut gradient = vec![0.0; items];
    let mut information = vec![vec![1.0 / items as f64; items]; items];
    for (winner, beaten) in wins.iter().enumerate() {
        for &(loser, count) in beaten {
            let lost = win_probability(strengths[loser], strengths[winner]);
            gradient[winner] += count * lost;
            gradient[loser] -= count * lost;
            let weight = count * lost * (1.0 - lost);
            information[winner][winner] += weight;
            information[loser][loser] += weight;
            information[winner][loser] -= weight;
            information[loser][winner] -= weight;
        }
    }
    (gradient, information)
}

/// The groups of items between which chains of wins lead both ways (strong components, by Kosaraju), each in
/// order, by their first item.
fn groups(wins: &Wins) -> Vec<Vec<usize>> {
    let items = wins.len();
    let mut losses = vec![Vec::new(); items];
    for (winner, beaten) in wins.iter().enumerate() {
        beaten.iter().for_each(|&(loser, _)| losses[loser].push((winner, 0.0)));
    }
    let mut seen = vec![false; items];
    let order: Vec<usize> = (0..items).flat_map(|start| finished(wins, start, &mut seen)).collect();
    seen.fill(false);
    let reached = order.into_iter().rev().map(|start| finished(&losses, start, &mut seen));
    let mut groups: Vec<Vec<usize>> = reached.filter(|group| !group.is_empty()).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

/// What is reached from an item and was not seen, in the order in which a depth-first walk leaves it.
fn finished(edges: &Wins, start: usize, seen: &mut [bool]) -> Vec<usize> {
    let mut left = Vec::new();
    let mut path = Vec::new();
    if !seen[start] {
        seen[start] = true;
        path.push((start, 0));
    }
    while let Some((item, next)) = path.last_mut() {
        match edges[*item].get(*next) {
            Some(&(to, _)) => {
                *next += 1;
                if !seen[to] {
                    seen[to] = true;
                    path.push((to, 0));
                }
            }
            None => {
                left.push(*item);
                path.pop();
            }
        }
    }
    left
}
