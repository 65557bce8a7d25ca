//! Colour quantisation: a palette of the image's own colours, with error diffusion, as MATLAB's
//! `rgb2ind` does it (minimum variance, Floyd-Steinberg).

use qponder_kernels::pixels::RgbImage;

use super::planes::image_of;

/// Colours in the palette.
const COLOURS: [usize; 5] = [64, 48, 32, 16, 8];
/// Bits a channel of the colour cube in which colours are counted and looked up.
const BITS: u32 = 5;
const CELLS: usize = 1 << (3 * BITS);

pub(super) fn quantise(image: &RgbImage, level: usize) -> RgbImage {
    dither(image, &palette(image, COLOURS[level]))
}

/// A cell of the colour cube that occurs in the image: how many pixels it holds and their mean.
#[derive(Clone, Copy)]
struct Cell {
    count: f64,
    mean: [f64; 3],
}

fn cell_of(pixel: [u8; 3]) -> usize {
    let [r, g, b] = pixel.map(|byte| usize::from(byte >> (8 - BITS)));
    (r << (2 * BITS)) | (g << BITS) | b
}

/// Splits the colours in two, again and again, where that lowers the squared error most.
fn palette(image: &RgbImage, colours: usize) -> Vec<[f32; 3]> {
    let mut sums = vec![[0u32; 4]; CELLS];
    for &pixel in image.data().as_chunks::<3>().0 {
        let sum = &mut sums[cell_of(pixel)];
        sum[0] += 1;
        for (sum, byte) in sum[1..].iter_mut().zip(pixel) {
            *sum += u32::from(byte);
        }
    }
    let occupied = sums.iter().filter(|sum| sum[0] > 0);
    let mut cells: Vec<Cell> = occupied
        .map(|&[count, r, g, b]| Cell {
            count: f64::from(count),
            mean: [r, g, b].map(|sum| f64::from(sum) / f64::from(count)),
        })
        .collect();

    let mut boxes = vec![Group::new(&mut cells)];
    while boxes.len() < colours {
        let worst = (0..boxes.len()).max_by(|&a, &b| boxes[a].gain.total_cmp(&boxes[b].gain));
        let Some(worst) = worst.filter(|&i| boxes[i].gain > 0.0) else { break };
        let Group { cells, split, .. } = boxes.swap_remove(worst);
        let (low, high) = cells.split_at_mut(split);
        boxes.push(Group::new(low));
        boxes.push(Group::new(high));
    }
    boxes.iter().map(|group| group.mean.map(|channel| channel as f32)).collect()
}

/// Colours that share a palette entry, sorted along the channel in which a split gains most.
struct Group<'a> {
    cells: &'a mut [Cell],
    mean: [f64; 3],
    /// Where to split, and by how much that lowers the squared error.
    split: usize,
    gain: f64,
}

impl<'a> Group<'a> {
    fn new(cells: &'a mut [Cell]) -> Self {
        let (count, sum) = total(cells);
        let mean = sum.map(|sum| sum / count);
        let variance = |channel: usize| {
            cells.iter().map(|cell| cell.count * (cell.mean[channel] - mean[channel]).powi(2)).sum::<f64>()
        };
        let variances = [variance(0), variance(1), variance(2)];
        let widest = (0..3).max_by(|&a, &b| variances[a].total_cmp(&variances[b])).unwrap_or(0);
        cells.sort_by(|a, b| a.mean[widest].total_cmp(&b.mean[widest]));

        let (mut split, mut gain) = (0, 0.0);
        let (mut left_count, mut left_sum) = (0.0, 0.0);
        for (i, cell) in cells.iter().enumerate().take(cells.len() - 1) {
            left_count += cell.count;
            left_sum += cell.count * cell.mean[widest];
            let right_count = count - left_count;
            let difference = left_sum / left_count - (sum[widest] - left_sum) / right_count;
            let found = left_count * right_count / count * difference * difference;
            if found > gain {
                (split, gain) = (i + 1, found);
            }
        }
        Self { cells, mean, split, gain }
    }
}

fn total(cells: &[Cell]) -> (f64, [f64; 3]) {
    cells.iter().fold((0.0, [0.0; 3]), |(count, sum), cell| {
        (count + cell.count, std::array::from_fn(|c| sum[c] + cell.count * cell.mean[c]))
    })
}

/// Floyd-Steinberg error diffusion to the palette.
fn dither(image: &RgbImage, palette: &[[f32; 3]]) -> RgbImage {
    const UNKNOWN: u8 = u8::MAX;
    let width = image.width();
    let mut nearest_of = vec![UNKNOWN; CELLS];
    // Errors carried to this row and the next, with a pixel of margin at both ends.
    let mut here = vec![[0.0f32; 3]; width + 2];
    let mut below = here.clone();
    let mut data = image.data().to_vec();
    for row in data.chunks_exact_mut(3 * width) {
        below.fill([0.0; 3]);
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let wanted: [f32; 3] =
                std::array::from_fn(|c| (f32::from(pixel[c]) + here[x + 1][c]).clamp(0.0, 255.0));
            let cell = cell_of(wanted.map(|value| value as u8));
            if nearest_of[cell] == UNKNOWN {
                nearest_of[cell] = nearest(palette, wanted);
            }
            let chosen = palette[usize::from(nearest_of[cell])];
            for c in 0..3 {
                let error = (wanted[c] - chosen[c]) / 16.0;
                here[x + 2][c] += 7.0 * error;
                below[x][c] += 3.0 * error;
                below[x + 1][c] += 5.0 * error;
                below[x + 2][c] += error;
            }
            *pixel = chosen.map(|value| (value + 0.5) as u8);
        }
        std::mem::swap(&mut here, &mut below);
    }
    image_of(width, image.height(), data)
}

fn nearest(palette: &[[f32; 3]], colour: [f32; 3]) -> u8 {
    let distance =
        |entry: &[f32; 3]| -> f32 { entry.iter().zip(colour).map(|(a, b)| (a - b) * (a - b)).sum() };
    let closest = (0..palette.len()).min_by(|&a, &b| distance(&palette[a]).total_cmp(&distance(&palette[b])));
    closest.unwrap_or(0) as u8
}
