//! Megapixels per second of the degradations that the peer's libraries have too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use qponder_kernels::pixels::RgbImage;
use qponder_pipeline::degrade::degrade;
use qponder_shared::{Distortion, DistortionKind, Severity};
use serde_json::{Map, Value, json};

use super::options::{Options, open};

/// The peer's name of an operation, our kind, and the level nearest to the peer's strength.
const OPERATIONS: [(&str, DistortionKind, u8); 17] = [
    ("gaussian_blur", DistortionKind::GaussianBlur, 3),
    ("lens_blur", DistortionKind::LensBlur, 3),
    ("motion_blur", DistortionKind::MotionBlur, 4),
    ("jpeg", DistortionKind::Jpeg, 3),
    ("jpeg2000", DistortionKind::Jpeg2000, 3),
    ("white_noise", DistortionKind::WhiteNoise, 3),
    ("impulse_noise", DistortionKind::ImpulseNoise, 2),
    ("multiplicative_noise", DistortionKind::MultiplicativeNoise, 2),
    ("brighten", DistortionKind::Brighten, 3),
    ("darken", DistortionKind::Darken, 3),
    ("mean_shift", DistortionKind::MeanShift, 3),
    ("contrast", DistortionKind::ContrastChange, 3),
    ("saturation_hsv", DistortionKind::SaturationHsv, 2),
    ("quantization", DistortionKind::Quantisation, 3),
    ("color_quantization", DistortionKind::ColourQuantisation, 3),
    ("pixelate", DistortionKind::Pixelate, 3),
    ("unsharp", DistortionKind::Oversharpen, 3),
];

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<Value> {
    let threads: usize = options.number("threads", 1)?;
    let least = Duration::from_secs_f64(options.number("seconds", 2.0)?);
    let pictures = options.pictures()?.iter().map(|path| open(path)).collect::<Result<Vec<RgbImage>>>()?;
    let megapixels =
        pictures.iter().map(|picture| picture.width() * picture.height()).sum::<usize>() as f64 / 1e6;

    let mut rates = Map::new();
    for (name, kind, level) in OPERATIONS {
        let level = Severity::try_from(level).context("levels go from 1 to 5")?;
        let distortion = Distortion { kind, level };
        round(&pictures, distortion, threads);
        let begun = Instant::now();
        let mut rounds = 0.0;
        while begun.elapsed() < least {
            round(&pictures, distortion, threads);
            rounds += 1.0;
        }
        rates.insert(name.to_owned(), json!(rounds * megapixels / begun.elapsed().as_secs_f64()));
    }
    Ok(json!({
        "ours": format!("qponder {}", env!("CARGO_PKG_VERSION")),
        "threads": threads,
        "images": pictures.len(),
        "megapixels": megapixels,
        "megapixels_per_second": rates,
    }))
}

/// Every picture once, on as many threads as were asked for.
fn round(pictures: &[RgbImage], distortion: Distortion, threads: usize) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(picture) = pictures.get(index) else { return };
            std::hint::black_box(degrade(picture, distortion, index as u64));
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}
