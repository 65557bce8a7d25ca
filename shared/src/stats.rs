//! Statistics of model against label: SRCC, PLCC, KRCC, RMSE, and bootstrap intervals.
//!
//! A correlation of fewer than two points, or of points without spread, does not exist and is `None`.

use serde::Serialize;

/// Pearson's linear correlation.
///
/// # Panics
/// When the slices differ in length.
#[must_use]
pub fn plcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one label for each prediction");
    let n = x.len() as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let spread = has_spread(x) && has_spread(y) && xx > 0.0 && yy > 0.0;
    spread.then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// Whether the values differ. Their variance does not tell: the mean of equal numbers is rounded.
fn has_spread(values: &[f64]) -> bool {
    values.iter().any(|&value| value != values[0])
}

/// Spearman's rank correlation; ties share their mean rank.
#[must_use]
pub fn srcc(x: &[f64], y: &[f64]) -> Option<f64> {
    plcc(&ranks(x), &ranks(y))
}

/// Ranks from 1; ties share their mean rank.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let equal = order[start..].iter().take_while(|&&i| values[i] == values[order[start]]).count();
        let mean = start as f64 + (equal as f64 + 1.0) / 2.0;
        order[start..start + equal].iter().for_each(|&i| ranks[i] = mean);
        start += equal;
    }
    ranks
}

/// Kendall's τ-b, which allows for ties. Takes time in n log n (Knight, 1966, "A computer method for
/// calculating Kendall's tau with ungrouped data").
///
/// # Panics
/// When the slices differ in length.
#[must_use]
pub fn krcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one label for each prediction");
    let mut points: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let pairs = |count: usize| (count as i64) * (count as i64 - 1) / 2;
    let tied_x: i64 = points.chunk_by(|a, b| a.0 == b.0).map(|tied| pairs(tied.len())).sum();
    let tied_both: i64 = points.chunk_by(|a, b| a == b).map(|tied| pairs(tied.len())).sum();
    let mut by_y: Vec<f64> = points.iter().map(|point| point.1).collect();
    let discordant = sort_counting_exchanges(&mut by_y);
    let tied_y: i64 = by_y.chunk_by(|a, b| a == b).map(|tied| pairs(tied.len())).sum();
    let all = pairs(points.len());
    let agreement = all - tied_x - tied_y + tied_both - 2 * discordant;
    let scale = ((all - tied_x) as f64).sqrt() * ((all - tied_y) as f64).sqrt();
    (scale > 0.0).then(|| agreement as f64 / scale)
}

/// Sorts by merging; gives the number of pairs that stood in the wrong order.
fn sort_counting_exchanges(values: &mut [f64]) -> i64 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut exchanges = sort_counting_exchanges(left) + sort_counting_exchanges(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut a, mut b) = (0, 0);
    while a < left.len() && b < right.len() {
        if right[b] < left[a] {
            exchanges += (left.len() - a) as i64;
            merged.push(right[b]);
            b += 1;
        } else {
            merged.push(left[a]);
            a += 1;
        }
    }
    merged.extend_from_slice(&left[a..]);
    merged.extend_from_slice(&right[b..]);
    values.copy_from_slice(&merged);
    exchanges
}

/// Root of the mean squared error; `None` of nothing.
#[must_use]
pub fn rmse(x: &[f64], y: &[f64]) -> Option<f64> {
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum();
    (!x.is_empty()).then(|| (sum / x.len() as f64).sqrt())
}

/// Cohen's κ with quadratic weights (Cohen, 1968) of two raters' categories, as pairs of numbers below
/// `categories`: 1 is full agreement, 0 what chance gives. `None` of nothing, and where both raters know
/// one and the same category only.
#[must_use]
pub fn quadratic_kappa(pairs: &[(usize, usize)], categories: usize) -> Option<f64> {
    let mut counts = (vec![0.0; categories], vec![0.0; categories]);
    let distance = |a: usize, b: usize| (a.abs_diff(b) as f64).powi(2);
    let mut found = 0.0;
    for &(a, b) in pairs {
        *counts.0.get_mut(a)? += 1.0;
        *counts.1.get_mut(b)? += 1.0;
        found += distance(a, b);
    }
    let first = counts.0.iter().enumerate();
    let by_chance: f64 = first
        .map(|(a, m)| m * counts.1.iter().enumerate().map(|(b, n)| n * distance(a, b)).sum::<f64>())
        .sum();
    (by_chance > 0.0).then(|| 1.0 - found * pairs.len() as f64 / by_chance)
}

/// The 4-parameter logistic that predictions are mapped through before PLCC and RMSE (VQEG, 2000):
/// `(high − low) / (1 + exp(−(x − centre) / |width|)) + low`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Logistic {
    pub high: f64,
    pub low: f64,
    pub centre: f64,
    pub width: f64,
}

impl Logistic {
    /// Fits by least squares (Levenberg–Marquardt), from the start that pyiqa and DeQA take. `None` of fewer
    /// than five points or of predictions without spread.
    ///
    /// # Panics
    /// When the slices differ in length.
    #[must_use]
    pub fn fit(x: &[f64], y: &[f64]) -> Option<Self> {
        assert_eq!(x.len(), y.len(), "one label for each prediction");
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        if x.len() < 5 || !has_spread(x) || deviation.is_nan() || deviation <= 0.0 {
            return None;
        }
        let largest = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = y.iter().copied().fold(f64::INFINITY, f64::min);
        let mut best = Self { high: largest, low: smallest, centre: mean, width: deviation / 4.0 };
        let mut error = best.error(x, y);
        let mut damping = 1e-3;
        // Far more than it takes; it ends where no damping helps any more.
        for _ in 0..500 {
            let Some(step) = best.step(x, y, damping) else { break };
            let [high, low, centre, width] = step;
            let next = Self {
                high: best.high + high,
                low: best.low + low,
                centre: best.centre + centre,
                width: best.width + width,
            };
            let next_error = next.error(x, y);
            if next_error < error {
                (best, error, damping) = (next, next_error, (damping * 0.3).max(1e-12));
            } else if damping > 1e12 {
                break;
            } else {
                damping *= 4.0;
            }
        }
        Some(best)
    }

    /// The mapped prediction.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        (self.high - self.low) * self.share(x) + self.low
    }

    fn share(&self, x: f64) -> f64 {
        1.0 / (1.0 + (-(x - self.centre) / self.width.abs()).exp())
    }

    fn error(&self, x: &[f64], y: &[f64]) -> f64 {
        x.iter().zip(y).map(|(x, y)| (self.at(*x) - y).powi(2)).sum()
    }

    /// Solves (JᵀJ + damping · diag JᵀJ) · step = Jᵀ · residual.
    fn step(&self, x: &[f64], y: &[f64], damping: f64) -> Option<[f64; 4]> {
        let mut system = [[0.0; 5]; 4];
        for (&x, &y) in x.iter().zip(y) {
            let share = self.share(x);
            let slope = (self.high - self.low) * share * (1.0 - share);
            let width = self.width.abs();
            let by = [share, 1.0 - share, -slope / width, -slope * (x - self.centre) / (width * self.width)];
            let residual = y - self.at(x);
            for i in 0..4 {
                for j in 0..4 {
                    system[i][j] += by[i] * by[j];
                }
                system[i][4] += by[i] * residual;
            }
        }
        for (i, row) in system.iter_mut().enumerate() {
            row[i] += damping * row[i] + f64::MIN_POSITIVE;
        }
        solve(system)
    }
}

/// Gaussian elimination with pivots of the augmented system; `None` where it has no one solution.
fn solve(mut system: [[f64; 5]; 4]) -> Option<[f64; 4]> {
    for column in 0..4 {
        let pivot =
            (column..4).max_by(|&a, &b| system[a][column].abs().total_cmp(&system[b][column].abs()))?;
        system.swap(column, pivot);
        let pivot = system[column];
        for row in &mut system[column + 1..] {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    let mut solution = [0.0; 4];
    for row in (0..4).rev() {
        let known: f64 = (row + 1..4).map(|at| system[row][at] * solution[at]).sum();
        solution[row] = (system[row][4] - known) / system[row][row];
    }
    solution.iter().all(|x| x.is_finite()).then_some(solution)
}

/// The 2.5 and 97.5 percentiles of a statistic under resampling of whole groups.
///
/// `groups[i]` names the group (the reference photograph) of item `i`; `statistic` gets the indices
/// of a resample. Resamples where it does not exist are left out; `None` when all are.
#[must_use]
pub fn bootstrap_interval(
    groups: &[usize],
    resamples: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<(f64, f64)> {
    let mut members: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
    for (item, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(item);
    }
    let members: Vec<Vec<usize>> = members.into_values().collect();
    let mut state = seed;
    let mut below = |bound: usize| {
        // SplitMix64 (Steele, Lea, Flood, 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * bound as u128) >> 64) as usize
    };
    let mut values: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let items: Vec<usize> =
                (0..members.len()).flat_map(|_| members[below(members.len())].iter().copied()).collect();
            statistic(&items)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |quantile: f64| values[((values.len() - 1) as f64 * quantile).round() as usize];
    (!values.is_empty()).then(|| (at(0.025), at(0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_none() {
        assert_eq!(srcc(&[], &[]), None);
        assert_eq!(srcc(&[1.0], &[2.0]), None);
        assert_eq!(plcc(&[1.0, 1.0], &[2.0, 3.0]), None);
        assert_eq!(krcc(&[1.0, 1.0], &[2.0, 3.0]), None);
        assert_eq!(rmse(&[], &[]), None);
    }

    #[test]
    fn kappa_forgives_near_misses_and_corrects_for_chance() {
        assert_eq!(quadratic_kappa(&[(0, 0), (4, 4), (2, 2)], 5), Some(1.0));
        assert_eq!(quadratic_kappa(&[(0, 4), (4, 0)], 5), Some(-1.0));
        assert_eq!(quadratic_kappa(&[(0, 2), (4, 2)], 5), Some(0.0));
        // By the definition: squared distances of 3 in all, 27 expected by chance.
        let near = [(0, 0), (1, 2), (2, 2), (3, 4), (4, 4), (1, 0)];
        assert!((quadratic_kappa(&near, 5).expect("spread") - 8.0 / 9.0).abs() < 1e-12);
        assert_eq!(quadratic_kappa(&[], 5), None);
        assert_eq!(quadratic_kappa(&[(3, 3); 4], 5), None);
        assert_eq!(quadratic_kappa(&[(0, 7)], 5), None);
    }

    #[test]
    fn the_logistic_fit_matches_scipy() {
        // scipy 1.17: curve_fit of these lists from the same start, tolerances 1e-15.
        let x = [1.1, 1.4, 1.9, 2.2, 2.6, 2.9, 3.3, 3.6, 4.1, 4.6, 4.8];
        let y = [1.3, 1.2, 1.6, 2.4, 2.3, 3.4, 3.9, 3.8, 4.5, 4.4, 4.7];
        let fit = Logistic::fit(&x, &y).expect("spread");
        let found = [fit.high, fit.low, fit.centre, fit.width.abs()];
        let scipy =
            [4.660_327_247_759_867, 0.989_492_893_744_543_6, 2.683_219_719_858_07, 0.560_394_058_297_607_6];
        assert!(found.iter().zip(scipy).all(|(a, b)| (a - b).abs() < 1e-6), "{fit:?}");
        let mapped = x.map(|x| fit.at(x));
        assert!((plcc(&mapped, &y).expect("spread") - 0.986_111_595_790_212_3).abs() < 1e-9);
        assert!((rmse(&mapped, &y).expect("points") - 0.210_244_293_437_026_36).abs() < 1e-9);
        assert_eq!(Logistic::fit(&x[..4], &y[..4]), None);
        assert_eq!(Logistic::fit(&[2.0; 6], &y[..6]), None);
    }

    #[test]
    fn the_interval_holds_the_estimate() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let groups: Vec<usize> = (0..100).map(|i| i / 4).collect();
        let mean = |items: &[usize]| Some(items.iter().map(|&i| values[i]).sum::<f64>() / items.len() as f64);
        let (low, high) = bootstrap_interval(&groups, 500, 1, mean).expect("items");
        assert!(low < 49.5 && 49.5 < high && high - low < 40.0, "{low} {high}");
    }
}
