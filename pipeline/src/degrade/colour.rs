//! Colour: diffusion, shift and saturation. Quantisation to a palette is in `palette`.

use qponder_kernels::pixels::RgbImage;

use super::colour_space::Lab;
use super::filter;
use super::planes::{Planes, image_of, to_byte};
use super::rng::Rng;

/// Strength of diffusion; also the distance in pixels of a shift.
const AMOUNT: [f32; 5] = [1.0, 3.0, 6.0, 8.0, 12.0];
/// Factor of the HSV saturation; the last one turns colours to their complement.
const HSV_FACTOR: [f32; 5] = [0.4, 0.2, 0.1, 0.0, -0.4];
/// Factor of a* and b*. KADID's first, 1, changes nothing.
const LAB_FACTOR: [f32; 5] = [1.5, 2.0, 3.0, 6.0, 9.0];

/// Smears a* and b* over the image and amplifies them.
pub(super) fn diffusion(image: &RgbImage, level: usize) -> RgbImage {
    let lab = Lab::new();
    let amount = AMOUNT[level];
    let mut planes = Planes::from_bytes(image, |pixel| lab.of_srgb(pixel));
    let (width, height) = (planes.width, planes.height);
    for plane in &mut planes.channels[1..] {
        filter::wide_gaussian(plane, width, height, 1.5 * amount + 2.0);
        for value in plane {
            *value *= amount;
        }
    }
    planes.to_bytes(|pixel| lab.to_srgb(pixel))
}

/// Multiplies the saturation of HSV: with the value V, the largest channel, held, each channel moves
/// along its line to V.
pub(super) fn saturation_hsv(image: &RgbImage, level: usize) -> RgbImage {
    let factor = HSV_FACTOR[level];
    let mut data = image.data().to_vec();
    for pixel in data.as_chunks_mut::<3>().0 {
        let value = f32::from(pixel[0].max(pixel[1]).max(pixel[2]));
        *pixel = pixel.map(|byte| to_byte((value + factor * (f32::from(byte) - value)) / 255.0));
    }
    image_of(image.width(), image.height(), data)
}

/// Multiplies a* and b*.
pub(super) fn saturation_lab(image: &RgbImage, level: usize) -> RgbImage {
    let lab = Lab::new();
    let factor = LAB_FACTOR[level];
    let mut data = image.data().to_vec();
    for pixel in data.as_chunks_mut::<3>().0 {
        let [l, a, b] = lab.of_srgb(*pixel);
        *pixel = lab.to_srgb([l, factor * a, factor * b]).map(to_byte);
    }
    image_of(image.width(), image.height(), data)
}

/// Moves the green channel sideways where the image has edges.
pub(super) fn shift(image: &RgbImage, level: usize, rng: &mut Rng) -> RgbImage {
    let angle = f64::from(rng.unit()) * std::f64::consts::TAU;
    // The longer side of a unit vector rounds to at least one pixel at every level.
    let step = |part: f64| (part * f64::from(AMOUNT[level])).round() as isize;
    let (dx, dy) = (step(libm::cos(angle)), step(libm::sin(angle)));

    let (width, height) = (image.width(), image.height());
    let planes = Planes::from_rgb(image);
    let weight = edge_weight(&planes);
    let mut data = image.data().to_vec();
    for (y, row) in data.chunks_exact_mut(3 * width).enumerate() {
        let source = &planes.channels[1][mirrored(y, -dy, height) * width..][..width];
        let here = &planes.channels[1][y * width..][..width];
        let weights = &weight[y * width..][..width];
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let moved = source[mirrored(x, -dx, width)];
            pixel[1] = to_byte(here[x] + weights[x] * (moved - here[x]));
        }
    }
    image_of(width, height, data)
}

/// The index at `offset` from `index`, reflected at the ends of `0..length`.
fn mirrored(index: usize, offset: isize, length: usize) -> usize {
    let (length, target) = (length as isize, index as isize + offset);
    let reflected = if target < 0 {
        -1 - target
    } else if target >= length {
        2 * length - 1 - target
    } else {
        target
    };
    reflected.clamp(0, length - 1) as usize
}

/// Smoothed gradient magnitude of the luma, stretched so that 0 is flat and 1 the strongest edges.
fn edge_weight(planes: &Planes) -> Vec<f32> {
    let (width, height) = (planes.width, planes.height);
    let [red, green, blue] = &planes.channels;
    let luma: Vec<f32> =
        red.iter().zip(green).zip(blue).map(|((r, g), b)| 0.2989 * r + 0.587 * g + 0.114 * b).collect();
    let mut edges = vec![0.0; luma.len()];
    for (y, out) in edges.chunks_exact_mut(width).enumerate() {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let row = |y: usize| &luma[y * width..][..width];
        let (above, here, below) = (row(above), row(y), row(below));
        for (x, out) in out.iter_mut().enumerate() {
            let across = here[(x + 1).min(width - 1)] - here[x.saturating_sub(1)];
            let down = below[x] - above[x];
            *out = (across * across + down * down).sqrt();
        }
    }
    filter::wide_gaussian(&mut edges, width, height, 4.0);
    stretch(&mut edges, 0.0);
    for value in &mut edges {
        *value = value.max(0.1);
    }
    stretch(&mut edges, 0.01);
    edges
}

/// Maps the values so that the given share of them saturates at each end, 0 and 1.
fn stretch(values: &mut [f32], share: f64) {
    const BINS: usize = 1024;
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    if high <= low {
        values.fill(0.0);
        return;
    }
    let mut histogram = [0usize; BINS];
    let bin_of = |value: f32| (((value - low) / (high - low) * BINS as f32) as usize).min(BINS - 1);
    for &value in values.iter() {
        histogram[bin_of(value)] += 1;
    }
    let cut = (share * values.len() as f64) as usize;
    let beyond_cut = |counts: &mut dyn Iterator<Item = usize>| {
        let mut seen = 0;
        let inside = counts.take_while(|count| {
            seen += count;
            seen <= cut
        });
        inside.count() as f32 * (high - low) / BINS as f32
    };
    let from = low + beyond_cut(&mut histogram.iter().copied());
    let to = high - beyond_cut(&mut histogram.iter().rev().copied());
    let scale = if to > from { 1.0 / (to - from) } else { 0.0 };
    for value in values {
        *value = ((*value - from) * scale).clamp(0.0, 1.0);
    }
}
