//! Blurs: Gaussian, defocus (a disk) and motion (a line).

use qponder_kernels::pixels::RgbImage;

use super::filter;
use super::planes::Planes;
use super::rng::Rng;

/// Standard deviation in pixels. KADID's first, 0.1, changes no byte.
const SIGMA: [f32; 5] = [0.4, 0.6, 1.0, 2.0, 5.0];
/// Radius of the disk in pixels.
const RADIUS: [f32; 5] = [1.0, 2.0, 4.0, 6.0, 8.0];
/// Length of the line in pixels. KADID's first, 1, is no blur.
const LENGTH: [f32; 5] = [1.5, 2.5, 4.0, 6.0, 10.0];

pub(super) fn gaussian(image: &RgbImage, level: usize) -> RgbImage {
    let mut planes = Planes::from_rgb(image);
    planes.for_each(|plane, width, height| filter::gaussian(plane, width, height, SIGMA[level]));
    planes.to_rgb()
}

/// The mean over a disk with anti-aliased rim, as `fspecial('disk')` has it.
pub(super) fn lens(image: &RgbImage, level: usize) -> RgbImage {
    let chords = half_chords(RADIUS[level]);
    let mut planes = Planes::from_rgb(image);
    planes.for_each(|plane, width, height| disk(plane, width, height, &chords));
    planes.to_rgb()
}

/// The mean half chord of a disk over the pixel rows at distance 0, 1, ... of its centre.
fn half_chords(radius: f32) -> Vec<f32> {
    const STEPS: usize = 16;
    let rows = (radius + 0.5).ceil() as usize;
    let chord = |y: f32| (radius * radius - y * y).max(0.0).sqrt();
    (0..rows)
        .map(|row| {
            let at = |step: usize| row as f32 - 0.5 + (step as f32 + 0.5) / STEPS as f32;
            (0..STEPS).map(|step| chord(at(step))).sum::<f32>() / STEPS as f32
        })
        .collect()
}

/// Sums strips of the rows, whose ends fall between pixels, as differences of running sums.
fn disk(plane: &mut [f32], width: usize, height: usize, chords: &[f32]) {
    let pad = chords.len() + 1;
    let stride = width + 2 * pad + 1;
    let mut sums = vec![0.0; stride * height];
    for (row, sums) in plane.chunks_exact(width).zip(sums.chunks_exact_mut(stride)) {
        running_sum(row, pad, sums);
    }
    let scale = 1.0 / (2.0 * (2.0 * chords.iter().sum::<f32>() - chords[0]));
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        out.fill(0.0);
        for (distance, &half) in chords.iter().enumerate() {
            let above = y.saturating_sub(distance);
            let below = (y + distance).min(height - 1);
            add_strip(out, &sums[above * stride..][..stride], pad, half, scale);
            if distance > 0 {
                add_strip(out, &sums[below * stride..][..stride], pad, half, scale);
            }
        }
    }
}

/// `sums[i]` becomes the sum of the first `i` values of the row after padding it by `pad` each side.
fn running_sum(row: &[f32], pad: usize, sums: &mut [f32]) {
    let (first, last) = (row[0], row[row.len() - 1]);
    let before = std::iter::repeat_n(first, pad);
    let after = std::iter::repeat_n(last, pad);
    let mut sum = 0.0;
    for (out, value) in sums[1..].iter_mut().zip(before.chain(row.iter().copied()).chain(after)) {
        sum += value;
        *out = sum;
    }
}

/// Adds to each pixel x the integral of its row from `x + 1/2 - half` to `x + 1/2 + half`.
fn add_strip(out: &mut [f32], sums: &[f32], pad: usize, half: f32, scale: f32) {
    let (end, start) = (pad as f32 + 0.5 + half, pad as f32 + 0.5 - half);
    let (end_cell, start_cell) = (end as usize, start as usize);
    let (end_part, start_part) = (end - end_cell as f32, start - start_cell as f32);
    let ends = sums[end_cell..].iter().zip(&sums[end_cell + 1..]);
    let starts = sums[start_cell..].iter().zip(&sums[start_cell + 1..]);
    for (out, ((&e0, &e1), (&s0, &s1))) in out.iter_mut().zip(ends.zip(starts)) {
        *out += scale * (e0 + end_part * (e1 - e0) - s0 - start_part * (s1 - s0));
    }
}

/// The mean along a line of random direction, as `fspecial('motion')` has it.
pub(super) fn motion(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let angle = f64::from(rng.unit()) * std::f64::consts::PI;
    let taps = line(LENGTH[level], (libm::cos(angle) as f32, libm::sin(angle) as f32));
    let mut planes = Planes::from_rgb(image);
    planes.for_each(|plane, width, height| convolve(plane, width, height, &taps));
    planes.to_rgb()
}

/// One weight of a sparse kernel.
struct Tap {
    dx: isize,
    dy: isize,
    weight: f32,
}

/// A line of `length` pixels (an end point counts half), each point shared by its four pixels.
fn line(length: f32, (cos, sin): (f32, f32)) -> Vec<Tap> {
    let half = (length - 1.0) / 2.0;
    let reach = half.ceil() as isize + 1;
    let side = (2 * reach + 1) as usize;
    let points = (8.0 * length).ceil() as usize;
    let mut grid = vec![0.0; side * side];
    for point in 0..points {
        let along = half * ((2 * point + 1) as f32 / points as f32 - 1.0);
        let (x, y) = (along * cos + reach as f32, along * sin + reach as f32);
        let (column, row) = (x as usize, y as usize);
        let (right, down) = (x - column as f32, y - row as f32);
        for (i, weight) in
            [(1.0 - right) * (1.0 - down), right * (1.0 - down), (1.0 - right) * down, right * down]
                .into_iter()
                .enumerate()
        {
            grid[(row + i / 2) * side + column + i % 2] += weight / points as f32;
        }
    }
    let taps = grid.into_iter().enumerate().filter(|&(_, weight)| weight > 0.0);
    taps.map(|(i, weight)| Tap { dx: (i % side) as isize - reach, dy: (i / side) as isize - reach, weight })
        .collect()
}

fn convolve(plane: &mut [f32], width: usize, height: usize, taps: &[Tap]) {
    let pad = taps.iter().map(|tap| tap.dx.unsigned_abs()).max().unwrap_or(0);
    let stride = width + 2 * pad;
    let mut padded = vec![0.0; stride * height];
    for (row, padded) in plane.chunks_exact(width).zip(padded.chunks_exact_mut(stride)) {
        padded[..pad].fill(row[0]);
        padded[pad..pad + width].copy_from_slice(row);
        padded[pad + width..].fill(row[width - 1]);
    }
    for (y, out) in plane.chunks_exact_mut(width).enumerate() {
        out.fill(0.0);
        for tap in taps {
            let row = y.saturating_add_signed(tap.dy).min(height - 1);
            let start = row * stride + pad.saturating_add_signed(tap.dx);
            for (out, &value) in out.iter_mut().zip(&padded[start..][..width]) {
                *out += tap.weight * value;
            }
        }
    }
}
