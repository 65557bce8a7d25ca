//! Statistics of model against label: SRCC, PLCC, KRCC, RMSE, and bootstrap intervals.
//!
//! A correlation of fewer than two points, or of points without spread, does not exist and is `None`.

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
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
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

/// Kendall's τ-b, which allows for ties. Takes time in the square of the length.
///
/// # Panics
/// When the slices differ in length.
#[must_use]
pub fn krcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "one label for each prediction");
    let (mut agree, mut untied_x, mut untied_y) = (0_i64, 0_i64, 0_i64);
    let sign = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
    for i in 0..x.len() {
        for j in 0..i {
            let (sx, sy) = (sign(x[i], x[j]), sign(y[i], y[j]));
            agree += sx * sy;
            untied_x += sx.abs();
            untied_y += sy.abs();
        }
    }
    let scale = (untied_x as f64).sqrt() * (untied_y as f64).sqrt();
    (scale > 0.0).then(|| agree as f64 / scale)
}

/// Root of the mean squared error; `None` of nothing.
#[must_use]
pub fn rmse(x: &[f64], y: &[f64]) -> Option<f64> {
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum();
    (!x.is_empty()).then(|| (sum / x.len() as f64).sqrt())
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
    fn correlations_match_scipy() {
        // scipy 1.16: spearmanr, pearsonr and kendalltau of these lists, with ties.
        let x = [1.0, 2.0, 2.0, 4.0, 5.5, 3.0, 9.0];
        let y = [2.0, 1.0, 3.0, 3.0, 6.0, 5.0, 4.0];
        assert!((srcc(&x, &y).expect("spread") - 0.718_181_818_181_818_3).abs() < 1e-9, "{:?}", srcc(&x, &y));
        assert!((plcc(&x, &y).expect("spread") - 0.536_765_627_952_029).abs() < 1e-9, "{:?}", plcc(&x, &y));
        assert!((krcc(&x, &y).expect("spread") - 0.55).abs() < 1e-9, "{:?}", krcc(&x, &y));
    }

    #[test]
    fn what_does_not_exist_is_none() {
        assert_eq!(srcc(&[], &[]), None);
        assert_eq!(srcc(&[1.0], &[2.0]), None);
        assert_eq!(plcc(&[1.0, 1.0], &[2.0, 3.0]), None);
        assert_eq!(krcc(&[1.0, 1.0], &[2.0, 3.0]), None);
        assert_eq!(rmse(&[], &[]), None);
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
