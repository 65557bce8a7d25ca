//! The CDF 9/7 wavelet in lifting form (Daubechies, Sweldens 1998), normalised to be close to
//! orthonormal, with symmetric extension at the borders.

const LIFT: [f32; 4] = [-1.586_134_3, -0.052_980_12, 0.882_911_1, 0.443_506_85];
const SCALE: f32 = 1.149_604_4;

/// A rectangle of a transformed plane: columns `left..right`, rows `top..bottom`.
pub(super) struct Band {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

impl Band {
    /// The number of coefficients.
    pub(super) fn len(&self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

/// The bands of a plane transformed over some levels: three details a level, then what is left.
pub(super) fn bands(width: usize, height: usize, levels: usize) -> Vec<Band> {
    let mut bands = Vec::with_capacity(3 * levels + 1);
    let (mut right, mut bottom) = (width, height);
    for _ in 0..levels {
        let (middle, centre) = (right.div_ceil(2), bottom.div_ceil(2));
        bands.push(Band { left: middle, right, top: 0, bottom: centre });
        bands.push(Band { left: 0, right: middle, top: centre, bottom });
        bands.push(Band { left: middle, right, top: centre, bottom });
        (right, bottom) = (middle, centre);
    }
    bands.push(Band { left: 0, right, top: 0, bottom });
    bands
}

/// Transforms in place; each level leaves its low band in the upper left quarter.
pub(super) fn forward(plane: &mut [f32], width: usize, height: usize, levels: usize) {
    for (columns, rows) in sizes(width, height, levels) {
        let mut line = vec![0.0; columns];
        for row in plane.chunks_exact_mut(width).take(rows) {
            let row = &mut row[..columns];
            let (low, high) = line.split_at_mut(columns.div_ceil(2));
            split(row, low, high);
            lift_forward(low, high, 1);
            row.copy_from_slice(&line);
        }
        let mut block =
            gather(plane, width, columns, rows, |y| y / 2 + if y % 2 == 1 { rows.div_ceil(2) } else { 0 });
        let (low, high) = block.split_at_mut(rows.div_ceil(2) * columns);
        lift_forward(low, high, columns);
        for (row, line) in plane.chunks_exact_mut(width).zip(block.chunks_exact(columns)) {
            row[..columns].copy_from_slice(line);
        }
    }
}

/// Undoes [`forward`].
pub(super) fn inverse(plane: &mut [f32], width: usize, height: usize, levels: usize) {
    for (columns, rows) in sizes(width, height, levels).into_iter().rev() {
        let mut block = gather(plane, width, columns, rows, |y| y);
        let half = rows.div_ceil(2);
        let (low, high) = block.split_at_mut(half * columns);
        lift_inverse(low, high, columns);
        for (y, row) in plane.chunks_exact_mut(width).take(rows).enumerate() {
            let from = y / 2 + if y % 2 == 1 { half } else { 0 };
            row[..columns].copy_from_slice(&block[from * columns..][..columns]);
        }
        let mut line = vec![0.0; columns];
        for row in plane.chunks_exact_mut(width).take(rows) {
            let row = &mut row[..columns];
            line.copy_from_slice(row);
            let (low, high) = line.split_at_mut(columns.div_ceil(2));
            lift_inverse(low, high, 1);
            merge(low, high, row);
        }
    }
}

/// Width and height of the region that each level transforms.
fn sizes(width: usize, height: usize, levels: usize) -> Vec<(usize, usize)> {
    std::iter::successors(Some((width, height)), |(w, h)| Some((w.div_ceil(2), h.div_ceil(2))))
        .take(levels)
        .collect()
}

/// The upper left region with row `y` moved to row `place(y)`.
fn gather(
    plane: &[f32],
    width: usize,
    columns: usize,
    rows: usize,
    place: impl Fn(usize) -> usize,
) -> Vec<f32> {
    let mut block = vec![0.0; columns * rows];
    for (y, row) in plane.chunks_exact(width).take(rows).enumerate() {
        block[place(y) * columns..][..columns].copy_from_slice(&row[..columns]);
    }
    block
}

fn split(row: &[f32], low: &mut [f32], high: &mut [f32]) {
    for (value, pair) in low.iter_mut().zip(row.chunks(2)) {
        *value = pair[0];
    }
    for (value, pair) in high.iter_mut().zip(row.chunks_exact(2)) {
        *value = pair[1];
    }
}

fn merge(low: &[f32], high: &[f32], row: &mut [f32]) {
    for (pair, value) in row.chunks_mut(2).zip(low) {
        pair[0] = *value;
    }
    for (pair, value) in row.chunks_exact_mut(2).zip(high) {
        pair[1] = *value;
    }
}

/// Lifts samples that are `stride` values each: even ones in `low`, odd ones in `high`.
fn lift_forward(low: &mut [f32], high: &mut [f32], stride: usize) {
    if high.is_empty() {
        return;
    }
    for (step, weight) in LIFT.into_iter().enumerate() {
        lift(low, high, stride, step, weight);
    }
    scale(low, high, SCALE);
}

fn lift_inverse(low: &mut [f32], high: &mut [f32], stride: usize) {
    if high.is_empty() {
        return;
    }
    scale(low, high, 1.0 / SCALE);
    for (step, weight) in LIFT.into_iter().enumerate().rev() {
        lift(low, high, stride, step, -weight);
    }
}

fn scale(low: &mut [f32], high: &mut [f32], factor: f32) {
    low.iter_mut().for_each(|value| *value *= factor);
    high.iter_mut().for_each(|value| *value /= factor);
}

/// Adds the weighted neighbours: even steps change the odd samples, odd steps the even ones.
fn lift(low: &mut [f32], high: &mut [f32], stride: usize, step: usize, weight: f32) {
    if step.is_multiple_of(2) {
        // Sample 2i + 1 lies between low i and i + 1; beyond the end, low repeats its last.
        let last = low.len() - stride;
        let inner = last.min(high.len());
        add_pair(&mut high[..inner], &low[..inner], &low[stride..], weight);
        add_pair(&mut high[inner..], &low[last..], &low[last..], weight);
    } else {
        // Sample 2i lies between high i - 1 and i; at both ends, high repeats its outermost.
        let last = high.len() - stride;
        add_pair(&mut low[..stride], &high[..stride], &high[..stride], weight);
        let inner = low.len().min(high.len());
        add_pair(&mut low[stride..inner], &high[..last], &high[stride..], weight);
        add_pair(&mut low[inner.max(stride)..], &high[last..], &high[last..], weight);
    }
}

fn add_pair(out: &mut [f32], first: &[f32], second: &[f32], weight: f32) {
    for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
        *out += weight * (first + second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_restores_any_size_and_energy_is_kept() {
        for (width, height, levels) in [(64, 48, 4), (37, 23, 4), (8, 8, 3), (17, 9, 3), (2, 3, 1), (5, 1, 1)]
        {
            let plane: Vec<f32> = (0..width * height).map(|i| ((i * 7919) % 251) as f32 - 125.0).collect();
            let mut coded = plane.clone();
            forward(&mut coded, width, height, levels);
            let energy = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>();
            let ratio = energy(&coded) / energy(&plane);
            assert!((0.5..2.0).contains(&ratio), "{width} x {height}: energy {ratio}");
            inverse(&mut coded, width, height, levels);
            let worst = plane.iter().zip(&coded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 0.01, "{width} x {height}: {worst}");
        }
    }

    #[test]
    fn bands_cover_the_plane_once() {
        let total: usize = bands(37, 23, 4).iter().map(Band::len).sum();
        assert_eq!(total, 37 * 23);
    }

    #[test]
    fn a_constant_has_no_detail() {
        let (width, height) = (33, 18);
        let mut plane = vec![10.0; width * height];
        forward(&mut plane, width, height, 1);
        for band in &bands(width, height, 1)[..3] {
            for y in band.top..band.bottom {
                assert!(plane[y * width + band.left..y * width + band.right].iter().all(|v| v.abs() < 1e-3));
            }
        }
    }
}
