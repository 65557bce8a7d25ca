//! Spatial damage: jitter, misplaced patches, pixelation, tone quantisation and colour blocks.

use qponder_kernels::pixels::RgbImage;

use super::planes::{image_of, look_up};
use super::rng::{NormalTable, Rng};

/// Standard deviation in pixels of one of five random displacements.
const JITTER: [f32; 5] = [0.05, 0.1, 0.2, 0.5, 1.0];
/// Misplaced patches in an image of KADID's size, and the side of one in pixels.
const PATCHES: [usize; 5] = [20, 40, 60, 80, 100];
const PATCH_SIDE: usize = 16;
/// Strength of the pixelation, from which its scale follows.
const PIXELATE: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];
/// Thresholds that divide the tones.
const THRESHOLDS: [usize; 5] = [20, 16, 13, 10, 7];
/// Blocks in an image of KADID's size, and the side of one in pixels.
const BLOCKS: [usize; 5] = [2, 4, 6, 8, 10];
const BLOCK_SIDE: usize = 32;
const KADID_AREA: f64 = 512.0 * 384.0;

/// Scatters pixels, reading between them with a Catmull-Rom spline.
///
/// KADID displaces five times in a row; one displacement of the five's joint variance moves pixels
/// as far without blurring five times.
pub(super) fn jitter(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let deviation = JITTER[level] * 5.0f32.sqrt();
    let table = NormalTable::get();
    let (width, height) = (image.width(), image.height());
    // Four lanes a pixel and two pixels of margin keep the inner loop free of branches.
    let stride = width + 3;
    let mut pixels = vec![[0.0f32; 4]; stride * (height + 3)];
    for (y, row) in pixels.chunks_exact_mut(stride).enumerate() {
        let source = &image.data()[3 * width * y.saturating_sub(1).min(height - 1)..][..3 * width];
        for (x, pixel) in row.iter_mut().enumerate() {
            let start = 3 * x.saturating_sub(1).min(width - 1);
            for (value, &byte) in pixel.iter_mut().zip(&source[start..start + 3]) {
                *value = f32::from(byte);
            }
        }
    }
    let mut data = vec![0; 3 * width * height];
    for (y, row) in data.chunks_exact_mut(3 * width).enumerate() {
        for (x, out) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let [dx, dy] = rng.normal_pair(table);
            let from_x = (x as f32 + deviation * dx).clamp(0.0, (width - 1) as f32);
            let from_y = (y as f32 + deviation * dy).clamp(0.0, (height - 1) as f32);
            let (column, top) = (from_x as usize, from_y as usize);
            let across = catmull_rom(from_x - column as f32);
            let down = catmull_rom(from_y - top as f32);
            let mut sum = [0.0f32; 4];
            for (i, weight) in down.into_iter().enumerate() {
                for (pixel, across) in pixels[(top + i) * stride + column..][..4].iter().zip(across) {
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += weight * across * value;
                    }
                }
            }
            *out = [sum[0], sum[1], sum[2]].map(|value| (value + 0.5) as u8);
        }
    }
    image_of(width, height, data)
}

/// Weights of the pixels at -1, 0, 1 and 2 for a point at `t` in 0 to 1.
fn catmull_rom(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        0.5 * (2.0 * t2 - t - t3),
        0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
        0.5 * (4.0 * t2 - 3.0 * t3 + t),
        0.5 * (t3 - t2),
    ]
}

/// The side of a square and how many there are, so that they cover the share of the image that
/// they cover in KADID. Squares shrink with small images, to no less than `least` of their side
/// there; in larger images they are as large and more numerous.
fn spread(image: &RgbImage, side: usize, count: usize, least: f64) -> (usize, usize) {
    let area = (image.width() * image.height()) as f64 / KADID_AREA;
    let scale = area.sqrt().clamp(least, 1.0);
    let side = ((side as f64 * scale).round() as usize).clamp(1, image.width().min(image.height()));
    let count = (count as f64 * area / (scale * scale)).round() as usize;
    (side, count.max(1))
}

/// Copies patches to places nearby: "non-eccentricity" in the terms of TID2013 and KADID.
pub(super) fn patches(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let (side, count) = spread(image, PATCH_SIDE, PATCHES[level], 0.5);
    let (free_x, free_y) = (width - side, height - side);
    let mut data = image.data().to_vec();
    let mut patch = vec![0; 3 * side * side];
    for _ in 0..count {
        let (left, top) = (rng.below(free_x + 1), rng.below(free_y + 1));
        // Up to half a side away, in each direction.
        let mut nearby =
            |start: usize, free: usize| (start + rng.below(side + 1)).saturating_sub(side / 2).min(free);
        let (to_left, to_top) = (nearby(left, free_x), nearby(top, free_y));
        let start = |x: usize, y: usize, row: usize| 3 * ((y + row) * width + x);
        for (row, line) in patch.chunks_exact_mut(3 * side).enumerate() {
            line.copy_from_slice(&data[start(left, top, row)..][..3 * side]);
        }
        for (row, line) in patch.chunks_exact(3 * side).enumerate() {
            data[start(to_left, to_top, row)..][..3 * side].copy_from_slice(line);
        }
    }
    image_of(width, height, data)
}

/// Squares of one random colour each.
pub(super) fn colour_blocks(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let (side, count) = spread(image, BLOCK_SIDE, BLOCKS[level], 0.2);
    let mut data = image.data().to_vec();
    for _ in 0..count {
        let (left, top) = (rng.below(width - side + 1), rng.below(height - side + 1));
        let [red, green, blue, ..] = rng.next_u64().to_le_bytes();
        for y in top..top + side {
            let line = &mut data[3 * (y * width + left)..][..3 * side];
            line.as_chunks_mut::<3>().0.fill([red, green, blue]);
        }
    }
    image_of(width, height, data)
}

/// Shrinks and enlarges with the nearest pixel.
pub(super) fn pixelate(image: &RgbImage, level: usize) -> RgbImage {
    let scale = 0.95 - libm::pow(PIXELATE[level], 0.6);
    let (width, height) = (image.width(), image.height());
    let sources = |length: usize| -> Vec<usize> {
        let small = ((length as f64 * scale).ceil() as usize).clamp(1, length);
        let nearest = |i: usize, from: usize, to: usize| (2 * i + 1) * to / (2 * from);
        (0..length).map(|i| nearest(nearest(i, length, small), small, length)).collect()
    };
    let columns = sources(width);
    let mut data = Vec::with_capacity(3 * width * height);
    for y in sources(height) {
        let row = image.data()[3 * width * y..][..3 * width].as_chunks::<3>().0;
        data.extend(columns.iter().flat_map(|&x| row[x]));
    }
    image_of(width, height, data)
}

/// Few tones, the same for the three channels, at the thresholds that separate the image's tones
/// best (Otsu). As in KADID, a value becomes the threshold above it, and the ends black and white.
pub(super) fn quantise(image: &RgbImage, level: usize) -> RgbImage {
    let mut histogram = [0u32; 256];
    for &byte in image.data() {
        histogram[usize::from(byte)] += 1;
    }
    let ends = otsu(&histogram, THRESHOLDS[level]);
    let table = std::array::from_fn(|byte| match ends.iter().position(|&end| byte <= end) {
        Some(0) => 0,
        Some(class) => ends[class] as u8,
        None => 255,
    });
    look_up(image, &table)
}

/// The last tones of the classes but the last, such that the variance between the classes is
/// largest: exact, by dynamic programming over (classes, last tone).
fn otsu(histogram: &[u32; 256], thresholds: usize) -> Vec<usize> {
    // Count and sum of the tones below each.
    let mut below = [(0.0f64, 0.0f64); 257];
    for (tone, &count) in histogram.iter().enumerate() {
        let (total, sum) = below[tone];
        below[tone + 1] = (total + f64::from(count), sum + f64::from(count) * tone as f64);
    }
    let between = |start: usize, end: usize| {
        let (count, sum) = (below[end].0 - below[start].0, below[end].1 - below[start].1);
        if count > 0.0 { sum * sum / count } else { 0.0 }
    };
    let mut best: Vec<f64> = (0..=256).map(|end| between(0, end)).collect();
    let mut starts = Vec::with_capacity(thresholds);
    for _ in 0..thresholds {
        let mut start_of = vec![0; 257];
        let mut next = vec![0.0; 257];
        // The best start of the last class never moves down as its end moves up.
        let mut ranges = vec![(0, 256, 0, 256)];
        while let Some((low, high, from, to)) = ranges.pop() {
            let end = (low + high) / 2;
            let candidates = from..=to.min(end);
            let value = |start: usize| best[start] + between(start, end);
            let start = candidates.reduce(|a, b| if value(b) > value(a) { b } else { a }).unwrap_or(from);
            (start_of[end], next[end]) = (start, value(start.min(end)));
            if low < end {
                ranges.push((low, end - 1, from, start));
            }
            if end < high {
                ranges.push((end + 1, high, start, to));
            }
        }
        starts.push(start_of);
        best = next;
    }
    let mut end = 256;
    let mut cuts: Vec<usize> = starts
        .iter()
        .rev()
        .map(|start_of| {
            end = start_of[end];
            end.saturating_sub(1)
        })
        .collect();
    cuts.reverse();
    cuts.dedup();
    cuts
}
