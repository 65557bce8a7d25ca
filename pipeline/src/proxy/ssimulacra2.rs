//! SSIMULACRA 2 (Cloudinary), as the `ssimulacra2` crate and libjxl compute it, for many pairs a second.
//!
//! One distorted image is compared with two references, so what depends on one image alone is kept in
//! a [`Picture`]. Planes instead of interleaved pixels, and the finite impulse response of the
//! reference's recursive filter, let the compiler vectorise everything.
//!
//! In one point it differs on purpose: where an image is too small for all six scales, the reference
//! shifts the weights of the scales that are there to other channels; here each keeps its own.

/// Scales compared, each half the size of the one before.
const SCALES: usize = 6;
/// No scale has a side shorter than this before it is halved once more.
pub(super) const LEAST_SIDE: usize = 8;
/// Centre and right half of the blur with sigma 1.5: what the recursive filter of Charalampidis (2016)
/// with radius 5 answers to an impulse. Beyond the border it reads zeros.
const BLUR: [f32; 5] = [0.264_621_1, 0.212_928_6, 0.109_335_37, 0.036_011_115, 0.009_414_368];
const REACH: usize = BLUR.len() - 1;

type Channels = [Vec<f32>; 3];

/// An image in XYB at every scale, with its blurred self and its blurred square.
pub(super) struct Picture {
    scales: Vec<Scale>,
}

struct Scale {
    width: usize,
    height: usize,
    pixels: Channels,
    mean: Channels,
    square: Channels,
}

impl Picture {
    /// From planes of linear light in sRGB primaries; both sides at least [`LEAST_SIDE`].
    pub(super) fn new(mut width: usize, mut height: usize, mut linear: Channels) -> Self {
        let mut scales = Vec::with_capacity(SCALES);
        loop {
            let pixels = xyb(&linear);
            scales.push(Scale {
                width,
                height,
                mean: each(|c| blur(&pixels[c], &pixels[c], width, height, |a, _| a)),
                square: each(|c| blur(&pixels[c], &pixels[c], width, height, |a, b| a * b)),
                pixels,
            });
            if scales.len() == SCALES || width.min(height) < LEAST_SIDE {
                return Self { scales };
            }
            linear = each(|c| halved(&linear[c], width, height));
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
    }
}

fn each<T>(make: impl Fn(usize) -> T) -> [T; 3] {
    [make(0), make(1), make(2)]
}

/// The score of `distorted` against a reference of the same size: 100 when equal, negative when awful.
pub(super) fn compare(reference: &Picture, distorted: &Picture) -> f64 {
    let mut distance = 0.0;
    for (scale, (a, b)) in reference.scales.iter().zip(&distorted.scales).enumerate() {
        for (channel, weights) in WEIGHTS.iter().map(|channel| &channel[scale]).enumerate() {
            if weights.iter().all(|&weight| weight == 0.0) {
                continue;
            }
            let errors = errors(a, b, channel);
            distance += weights.iter().zip(errors).map(|(weight, error)| weight * error).sum::<f64>();
        }
    }
    distance *= 0.956_238_261_683_484_4;
    distance = 6.248_496_625_763_138e-5 * distance.powi(3) + 2.326_765_642_916_932 * distance
        - 0.020_884_521_182_843_837 * distance.powi(2);
    if distance > 0.0 { 100.0 - 10.0 * libm::pow(distance, 0.627_633_646_783_138_7) } else { 100.0 }
}

/// Mean and 4-norm of three error maps of a channel: `[structure, artefact, lost detail]` twice.
fn errors(a: &Scale, b: &Scale, channel: usize) -> [f64; 6] {
    const C2: f32 = 0.0009;
    let (width, height) = (a.width, a.height);
    let product = blur(&a.pixels[channel], &b.pixels[channel], width, height, |a, b| a * b);
    let mut norms = [Norms::default(); 3];
    let [mut structure, mut artefact, mut lost] = [(); 3].map(|()| vec![0.0f32; width]);
    for y in 0..height {
        let (a_pixels, b_pixels) = (row(&a.pixels[channel], y, width), row(&b.pixels[channel], y, width));
        let (a_mean, b_mean) = (row(&a.mean[channel], y, width), row(&b.mean[channel], y, width));
        let (a_square, b_square) = (row(&a.square[channel], y, width), row(&b.square[channel], y, width));
        let product = row(&product, y, width);
        for x in 0..width {
            let difference = a_mean[x] - b_mean[x];
            let luminance = 1.0 - difference * difference;
            let covariance = 2.0 * (product[x] - a_mean[x] * b_mean[x]) + C2;
            let variances =
                (a_square[x] - a_mean[x] * a_mean[x]) + (b_square[x] - b_mean[x] * b_mean[x]) + C2;
            structure[x] = (1.0 - luminance * covariance / variances).max(0.0);
            let edge =
                (1.0 + (b_pixels[x] - b_mean[x]).abs()) / (1.0 + (a_pixels[x] - a_mean[x]).abs()) - 1.0;
            artefact[x] = edge.max(0.0);
            lost[x] = (-edge).max(0.0);
        }
        for (norms, errors) in norms.iter_mut().zip([&structure, &artefact, &lost]) {
            norms.add(errors);
        }
    }
    let count = (width * height) as f64;
    let first = norms.map(|norms| norms.first / count);
    let fourth = norms.map(|norms| (norms.fourth / count).sqrt().sqrt());
    [first[0], first[1], first[2], fourth[0], fourth[1], fourth[2]]
}

fn row(plane: &[f32], y: usize, width: usize) -> &[f32] {
    &plane[y * width..][..width]
}

/// Sums of the errors and of their fourth powers.
#[derive(Clone, Copy, Default)]
struct Norms {
    first: f64,
    fourth: f64,
}

impl Norms {
    /// Adds a row: eight partial sums in `f32`, so that they vectorise, then `f64`.
    fn add(&mut self, errors: &[f32]) {
        let mut first = [0.0f32; 8];
        let mut fourth = [0.0f32; 8];
        let (chunks, rest) = errors.as_chunks::<8>();
        for chunk in chunks {
            for (((first, fourth), error), square) in
                first.iter_mut().zip(&mut fourth).zip(chunk).zip(chunk.map(|error| error * error))
            {
                *first += error;
                *fourth += square * square;
            }
        }
        let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
        self.first += sum(&first) + sum(rest);
        self.fourth += sum(&fourth) + rest.iter().map(|&error| f64::from(error).powi(4)).sum::<f64>();
    }
}

/// XYB moved into about 0 to 1, as the metric wants it.
fn xyb(linear: &Channels) -> Channels {
    const BIAS: f32 = 0.003_793_073_4;
    let bias_root = cube_root(BIAS);
    let [red, green, blue] = linear;
    let mut out = each(|_| vec![0.0; red.len()]);
    let [x, y, b] = &mut out;
    let inputs = red.iter().zip(green).zip(blue);
    for (((x, y), b), ((&red, &green), &blue)) in x.iter_mut().zip(y).zip(b).zip(inputs) {
        let long = cube_root(0.3 * red + 0.622 * green + 0.078 * blue + BIAS) - bias_root;
        let medium = cube_root(0.23 * red + 0.692 * green + 0.078 * blue + BIAS) - bias_root;
        let short =
            cube_root(0.243_422_69 * red + 0.204_767_45 * green + 0.551_809_86 * blue + BIAS) - bias_root;
        let luma = 0.5 * (long + medium);
        *x = 7.0 * (long - medium) + 0.42;
        *y = luma + 0.01;
        *b = short - luma + 0.55;
    }
    out
}

/// The cube root of a positive number to about 24 bits: a guess from the exponent, then Halley.
fn cube_root(value: f32) -> f32 {
    let mut root = f32::from_bits(value.to_bits() / 3 + 0x2A51_37A0);
    for _ in 0..2 {
        let cube = root * root * root;
        root *= (cube + 2.0 * value) / (2.0 * cube + value);
    }
    root
}

/// Means of two by two pixels; an odd last column or row counts twice.
fn halved(plane: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(width.div_ceil(2) * height.div_ceil(2));
    for y in (0..height).step_by(2) {
        let (above, below) = (row(plane, y, width), row(plane, (y + 1).min(height - 1), width));
        out.extend(above.chunks(2).zip(below.chunks(2)).map(|(above, below)| {
            let last = above.len() - 1;
            0.25 * (above[0] + above[last] + below[0] + below[last])
        }));
    }
    out
}

/// Blurs a function of two planes.
fn blur(a: &[f32], b: &[f32], width: usize, height: usize, value: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut padded = vec![0.0; width + 2 * REACH];
    let mut across = vec![0.0; a.len()];
    let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
    for (out, (a, b)) in across.chunks_exact_mut(width).zip(rows) {
        for ((out, &a), &b) in padded[REACH..].iter_mut().zip(a).zip(b) {
            *out = value(a, b);
        }
        weigh(out, std::array::from_fn(|tap| &padded[tap..]));
    }
    let mut out = vec![0.0; a.len()];
    let zeros = vec![0.0; width];
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        weigh(
            out,
            std::array::from_fn(|tap| match (y + tap).checked_sub(REACH) {
                Some(y) if y < height => row(&across, y, width),
                _ => &zeros,
            }),
        );
    }
    out
}

/// The weighted sum of nine rows, the middle one weighing most.
fn weigh(out: &mut [f32], rows: [&[f32]; 2 * REACH + 1]) {
    let width = out.len();
    let rows = rows.map(|row| &row[..width]);
    for (x, out) in out.iter_mut().enumerate() {
        *out = BLUR[0] * rows[4][x]
            + BLUR[1] * (rows[3][x] + rows[5][x])
            + BLUR[2] * (rows[2][x] + rows[6][x])
            + BLUR[3] * (rows[1][x] + rows[7][x])
            + BLUR[4] * (rows[0][x] + rows[8][x]);
    }
}

/// What each error counts: `[channel][scale][error]`, errors in the order of [`errors`]. Fitted by the
/// metric's authors to CID22, TID2013, KADID-10k and KonFiG.
#[rustfmt::skip]
const WEIGHTS: [[[f64; 6]; SCALES]; 3] = [
    [
        [0.0, 0.000_737_660_670_740_658_6, 0.0, 0.0, 0.000_779_348_168_286_730_9, 0.0],
        [0.0, 0.000_437_115_573_010_737_9, 0.0, 1.104_172_642_665_734_6, 0.000_662_848_341_292_71, 0.000_152_316_327_837_187_52],
        [0.0, 0.001_640_643_745_659_975_4, 0.0, 1.842_245_552_053_929_8, 11.441_172_603_757_666, 0.0],
        [0.000_798_910_943_601_516_3, 0.000_176_816_438_078_653, 0.0, 1.878_759_497_954_638_7, 10.949_069_906_051_42, 0.0],
        [0.000_728_934_699_150_807_2, 0.967_793_708_062_683_3, 0.0, 0.000_140_034_242_854_358_84, 0.998_176_697_785_496_7, 0.000_319_497_559_344_350_53],
        [0.000_455_099_211_379_206_3, 0.0, 0.0, 0.001_364_876_616_324_339_8, 0.0, 0.0],
    ],
    [
        [0.0, 0.0, 0.0, 7.466_890_328_078_848, 0.0, 17.445_833_984_131_262],
        [0.000_623_560_163_404_146_6, 0.0, 0.0, 6.683_678_146_179_332, 0.000_377_244_079_796_112_96, 1.027_889_937_768_264],
        [225.205_153_008_492_74, 0.0, 0.0, 19.213_238_186_143_016, 0.001_140_152_458_661_836_1, 0.001_237_755_635_509_985],
        [176.393_175_984_506_94, 0.0, 0.0, 24.433_009_998_704_76, 0.285_208_026_121_177_57, 0.000_448_543_692_383_340_8],
        [0.0, 0.0, 0.0, 34.779_063_444_837_72, 44.835_625_328_877_896, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ],
    [
        [0.0, 0.000_868_055_657_329_169_8, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.000_531_319_187_435_874_7, 0.0, 0.000_165_338_141_613_791_12, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.000_417_917_180_325_133_6, 0.001_729_082_823_472_283_3, 0.0],
        [0.002_082_700_584_663_643_7, 0.0, 0.0, 8.826_982_764_996_862, 23.192_433_439_989_26, 0.0],
        [95.108_049_881_108_6, 0.986_397_803_440_068_2, 0.983_438_279_246_535_3, 0.001_228_640_504_827_849_3, 171.266_725_589_730_7, 0.980_785_887_243_537_9],
        [0.0, 0.0, 0.0, 0.000_513_006_458_899_067_9, 0.0, 0.000_108_540_578_584_115_37],
    ],
];
