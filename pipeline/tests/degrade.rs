//! Degradations and proxy labels through the public interface: the same bytes on every machine, and
//! labels that fall as levels rise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_kernels::pixels::{Limits, RgbImage, decode, encode_png};
use qponder_pipeline::dataset::{self, Config, DatasetError, Settings};
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::photographs::catalogue;
use qponder_pipeline::proxy::{measure, proxy_score};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::{Distortion, DistortionKind, Severity};
use sha2::{Digest, Sha256};

/// Numbers that look random and are the same everywhere.
fn scrambled(value: u64) -> u64 {
    let mixed = (value ^ (value >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

/// A picture with what photographs have: smooth shading, hard edges, fine texture at several scales and
/// colours that follow the objects. `scene` varies all of it.
fn photograph(width: usize, height: usize, scene: u64) -> RgbImage {
    let noise = |x: usize, y: usize, cell: usize, salt: u64| {
        let corner = |x: usize, y: usize| {
            (scrambled(scene * 1000 + salt + ((x as u64) << 20) + ((y as u64) << 40)) % 256) as i64
        };
        let (left, top, fx, fy) = (x / cell, y / cell, (x % cell) as i64, (y % cell) as i64);
        let cell = cell as i64;
        let across = |y: usize| corner(left, y) * (cell - fx) + corner(left + 1, y) * fx;
        (across(top) * (cell - fy) + across(top + 1) * fy) / (cell * cell)
    };
    let mut data = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            // Which of a few regions the pixel is in decides its colour and how rough it is.
            let region = (noise(x, y, 48, 1) > 128) as u64 + 2 * (noise(x, y, 31, 2) > 140) as u64;
            let texture = (noise(x, y, 3, 3) - 128) * [20, 70, 40, 90][region as usize] / 256;
            let shade = (noise(x, y, 64, 4) - 128) / 2 + (noise(x, y, 11, 5) - 128) / 5;
            for channel in 0..3 {
                let base = 60 + (scrambled(scene * 77 + region * 3 + channel) % 130) as i64;
                data.push((base + texture + shade).clamp(0, 255) as u8);
            }
        }
    }
    RgbImage::new(width, height, data).expect("three bytes a pixel")
}

/// A test chart: ramps of grey and colour, bars of several widths, and a disk.
fn chart(width: usize, height: usize) -> RgbImage {
    let mut data = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let ramp = (255 * x / (width - 1)) as u8;
            let bars = if (x / (1 + y / 12)) % 2 == 0 { 30 } else { 220 };
            let (dx, dy) = (2 * x as i64 - width as i64, 2 * y as i64 - 3 * height as i64 / 2);
            data.extend(match 4 * y / height {
                _ if dx * dx + dy * dy < 400 => [200, 40, 90],
                0 => [ramp; 3],
                1 => [ramp, 255 - ramp, 128],
                _ => [bars; 3],
            });
        }
    }
    RgbImage::new(width, height, data).expect("three bytes a pixel")
}

fn every() -> impl Iterator<Item = Distortion> {
    DistortionKind::ALL.into_iter().flat_map(|kind| Severity::ALL.map(|level| Distortion { kind, level }))
}

/// Set `UPDATE_GOLDEN=1` to write the file anew, and look at what changed before committing it.
#[test]
fn every_kind_gives_the_bytes_that_it_always_gave() {
    let images = [("chart", chart(75, 58)), ("photograph", photograph(128, 96, 1))];
    let mut found = String::new();
    for kind in DistortionKind::ALL {
        for (name, image) in &images {
            let distortion = Distortion { kind, level: Severity::ALL[2] };
            let hash = Sha256::digest(degrade(image, distortion, 7).data());
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(found, "{kind} {name} {hex}").expect("writing to a string");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/degrade.sha256");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &found).expect("the fixture can be written");
    }
    let golden = fs::read_to_string(&path).expect("the fixture is committed");
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(found, golden, "the pixels of this kind changed");
    }
    assert_eq!(found, golden);
}

#[test]
fn the_mean_proxy_falls_with_every_level_of_every_kind() {
    let images: Vec<RgbImage> = (0..8).map(|scene| photograph(160, 128, scene)).collect();
    for kind in DistortionKind::ALL {
        let means = Severity::ALL.map(|level| {
            let score = |(seed, image): (usize, &RgbImage)| {
                let degraded = degrade(image, Distortion { kind, level }, seed as u64);
                proxy_score(&measure(image, &degraded))
            };
            images.iter().enumerate().map(score).sum::<f64>() / images.len() as f64
        });
        assert!(means[0] < 5.0, "{kind} leaves no trace at level 1: {means:?}");
        assert!(means.is_sorted_by(|a, b| a > b), "{kind}: {means:?}");
        assert!(means[0] - means[4] > 0.5, "the levels of {kind} hardly differ: {means:?}");
    }
}

#[test]
fn every_size_down_to_one_pixel_survives_every_kind() {
    for (width, height) in [(1, 1), (1, 9), (2, 2), (5, 3), (8, 8), (17, 33), (70, 1)] {
        let image = photograph(width, height, 3);
        for distortion in every() {
            let degraded = degrade(&image, distortion, 1);
            assert_eq!((degraded.width(), degraded.height()), (width, height), "{distortion:?}");
        }
    }
}

#[test]
fn flat_images_survive_every_kind() {
    for value in [0, 128, 255] {
        let image = RgbImage::new(40, 30, vec![value; 3600]).expect("three bytes a pixel");
        for distortion in every() {
            let score = proxy_score(&measure(&image, &degrade(&image, distortion, 2)));
            assert!((1.0..=5.0).contains(&score), "{distortion:?} on {value}: {score}");
        }
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    use DistortionKind as K;
    let image = photograph(64, 48, 5);
    for distortion in every() {
        assert_eq!(degrade(&image, distortion, 3), degrade(&image, distortion, 3), "{distortion:?}");
    }
    for kind in [K::WhiteNoise, K::MotionBlur, K::ColourBlock, K::Jitter, K::NonEccentricityPatch] {
        let distortion = Distortion { kind, level: Severity::ALL[4] };
        assert_ne!(degrade(&image, distortion, 3), degrade(&image, distortion, 4), "{kind}");
    }
}

/// Our JPEG leaves out the entropy coder only: a real coder and decoder come to the same picture. Grey
/// pictures agree almost to the bit; in colour, codecs differ in how they halve and double the chroma.
#[test]
fn jpeg_agrees_with_a_real_codec() {
    let colour = photograph(96, 80, 2);
    let luma = |p: &[u8; 3]| (0.3 * f64::from(p[0]) + 0.6 * f64::from(p[1]) + 0.1 * f64::from(p[2])) as u8;
    let grey = colour.data().as_chunks::<3>().0.iter().flat_map(|pixel| [luma(pixel); 3]).collect();
    let grey = RgbImage::new(96, 80, grey).expect("three bytes a pixel");
    for (image, tolerance) in [(grey, 0.1), (colour, 0.2)] {
        for (level, quality) in Severity::ALL.into_iter().zip([43, 36, 24, 7, 4]) {
            let ours = degrade(&image, Distortion { kind: DistortionKind::Jpeg, level }, 0);
            let mut bytes = Vec::new();
            let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality);
            encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
            encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
            encoder.encode(image.data(), 96, 80, jpeg_encoder::ColorType::Rgb).expect("encodes");
            let theirs = decode(&bytes, &Limits::default()).expect("a JPEG").image;
            let share = mean_difference(&ours, &theirs) / mean_difference(&ours, &image);
            assert!(share < tolerance, "quality {quality}: {share} of the damage differs");
        }
    }
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let total: u64 = a.data().iter().zip(b.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    total as f64 / a.data().len() as f64
}

/// A directory of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("qponder-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    /// Three photographs, one too small for large crops.
    fn photographs(&self) -> PathBuf {
        let dir = self.0.join("photographs");
        fs::create_dir_all(&dir).expect("a directory");
        for (id, (width, height)) in [("a", (120, 90)), ("b", (60, 50)), ("c", (100, 130))] {
            let image = photograph(width, height, id.len() as u64 + width as u64);
            fs::write(dir.join(id).with_extension("png"), encode_png(&image).expect("a PNG"))
                .expect("a file");
        }
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every file of a dataset with its bytes.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in [dir.to_owned(), dir.join("images")] {
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.strip_prefix(dir).expect("below it").display().to_string();
                files.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    files.sort();
    files
}

/// The catalogue says of some photographs that they are soft at three quarters.
#[test]
fn a_soft_photograph_is_shrunk_more() {
    let soft = catalogue().iter().find(|photograph| photograph.largest == Some(0.5)).expect("one");
    let scratch = Scratch::new("soft");
    for name in [&soft.id, "other"] {
        let bytes = encode_png(&photograph(200, 160, 4)).expect("a PNG");
        fs::write(scratch.0.join(format!("{name}.png")), bytes).expect("a file");
    }
    let sides = |sizes: Vec<usize>, out: &str| {
        let settings = Settings { per_image: Some(1), sizes, ..Settings::default() };
        let out = scratch.0.join(out);
        let config = Config { input: scratch.0.clone(), out: out.clone(), settings, threads: Some(1) };
        dataset::make(&config, &|_| (), &|| false).expect("makes the dataset");
        let text = fs::read_to_string(out.join("manifest.jsonl")).expect("a manifest");
        let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).expect("a row"));
        rows.map(|row| {
            let bytes = fs::read(out.join(&row.image)).expect("an image");
            (row.reference, decode(&bytes, &Limits::default()).expect("a PNG").image.width())
        })
        .collect::<BTreeSet<_>>()
    };
    let whole = BTreeSet::from([(soft.id.clone(), 100), ("other".to_owned(), 150)]);
    assert_eq!(sides(Vec::new(), "whole"), whole);
    let crops = BTreeSet::from([("other".to_owned(), 90)]);
    assert_eq!(sides(vec![90], "crops"), crops, "160 pixels at half have no room for 90");
}

/// Only photographs for training are exposed twice, and with nothing of the others.
#[test]
fn double_exposures_are_for_training() {
    let scratch = Scratch::new("double");
    let input = scratch.photographs();
    let make = |double: bool| {
        let settings =
            Settings { per_image: Some(2), sizes: vec![32], vary: true, double, ..Settings::default() };
        let out = scratch.0.join(if double { "double" } else { "single" });
        let config = Config { input: input.clone(), out: out.clone(), settings, threads: Some(2) };
        dataset::make(&config, &|_| (), &|| false).expect("makes the dataset");
        let text = fs::read_to_string(out.join("manifest.jsonl")).expect("a manifest");
        let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).expect("a row"));
        rows.map(|row| {
            let image = fs::read(out.join(&row.image)).expect("an image");
            (row.id, row.split, row.distortions, image)
        })
        .collect::<Vec<_>>()
    };
    let held_out = catalogue().iter().find(|photograph| photograph.split == Split::Val).expect("one");
    let bytes = encode_png(&photograph(120, 100, 6)).expect("a PNG");
    fs::write(input.join(&held_out.id).with_extension("png"), bytes).expect("a file");
    let sources = dataset::sources(&input).expect("four");
    assert!(sources.iter().filter(|source| source.split == Split::Train).count() > 1);
    for (single, double) in make(false).into_iter().zip(make(true)) {
        assert_eq!((&single.0, single.1, &single.2), (&double.0, double.1, &double.2));
        assert_eq!(single.3 == double.3, single.1 != Split::Train, "{}", single.0);
    }
}

#[test]
fn a_dataset_depends_on_neither_threads_nor_interruptions() {
    let scratch = Scratch::new("dataset");
    let config = |out: &str, threads| Config {
        input: scratch.photographs(),
        out: scratch.0.join(out),
        settings: Settings { per_image: Some(6), sizes: vec![32, 64], seed: 9, ..Settings::default() },
        threads: Some(threads),
    };
    let make = |config: &Config| dataset::make(config, &|_| (), &|| false).expect("makes the dataset");
    let outcome = make(&config("one", 1));
    // Photograph b is 45 pixels wide after shrinking, so it has no room for 64.
    assert_eq!((outcome.images, outcome.too_small, outcome.cancelled), (5 * 7, 1, false));
    make(&config("four", 4));

    // Stop after some images, twice, with a torn line at the end, then finish.
    for stop in [5, 20] {
        let asked = AtomicUsize::new(0);
        let cancelled = || asked.fetch_add(1, Ordering::Relaxed) >= stop;
        let outcome = dataset::make(&config("torn", 2), &|_| (), &cancelled).expect("stops");
        assert!(outcome.cancelled && outcome.images < 35);
        let manifest = scratch.0.join("torn/manifest.jsonl");
        let mut text = fs::read_to_string(&manifest).expect("a manifest");
        text.push_str("{\"id\":\"half a li");
        fs::write(&manifest, text).expect("a manifest");
    }
    make(&config("torn", 2));

    let expected = contents(&scratch.0.join("one"));
    assert_eq!(expected.len(), 35 + 2);
    for other in ["four", "torn"] {
        assert_eq!(expected, contents(&scratch.0.join(other)), "{other}");
    }
    // A photograph that sorts before all others and comes later.
    let late = scratch.photographs().join("A.png");
    fs::write(&late, encode_png(&photograph(90, 90, 7)).expect("a PNG")).expect("a file");
    let outcome = dataset::make(&config("torn", 2), &|_| (), &|| false).expect("goes on");
    assert_eq!(outcome.images, 35 + 14, "its images were added");
    fs::remove_file(late).expect("the late one");
    let other = Config { settings: Settings::default(), ..config("one", 1) };
    let refused = dataset::make(&other, &|_| (), &|| false);
    assert!(matches!(refused, Err(DatasetError::OtherSettings { .. })), "{refused:?}");
    for settings in [
        Settings { sizes: vec![64, 20], ..Settings::default() },
        Settings { max_side: 20, ..Settings::default() },
    ] {
        let tiny = Config { settings, ..config("tiny", 1) };
        let refused = dataset::make(&tiny, &|_| (), &|| false);
        assert!(matches!(refused, Err(DatasetError::Side { side: 20, least: 28 })), "{refused:?}");
        assert!(!tiny.out.exists(), "nothing was written");
    }
}

#[test]
fn whole_photographs_are_written_with_their_metrics() {
    let scratch = Scratch::new("whole");
    let config = Config {
        input: scratch.photographs(),
        out: scratch.0.join("out"),
        settings: Settings {
            kinds: vec![DistortionKind::Jpeg, DistortionKind::LensBlur],
            levels: vec![Severity::ALL[0], Severity::ALL[4]],
            max_side: 64,
            ..Settings::default()
        },
        threads: None,
    };
    let outcome = dataset::make(&config, &|_| (), &|| false).expect("makes the dataset");
    assert_eq!(outcome.images, 3 * (1 + 4));
    let manifest = fs::read_to_string(config.out.join("manifest.jsonl")).expect("a manifest");
    let rows: Vec<Row> = manifest.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(rows[0].id, "a-pristine");
    assert_eq!(rows[0].label, Label::Proxy(5.0));
    assert_eq!(rows[2].id, "a-jpeg-5");
    for row in &rows {
        let bytes = fs::read(config.out.join(&row.image)).expect("the image is there");
        let image = decode(&bytes, &Limits::default()).expect("a PNG").image;
        assert!(image.width().max(image.height()) <= 64, "{}", row.id);
        let metrics = row.metrics.expect("metrics are kept");
        assert!((proxy_score(&metrics) - row.label.value()).abs() < 1e-3, "{}", row.id);
    }
}

#[test]
fn whole_photographs_for_training_are_framed_anew_each_time_and_others_never() {
    let scratch = Scratch::new("varied");
    // Its name makes it one for validation.
    let held_out = encode_png(&photograph(110, 80, 5)).expect("a PNG");
    fs::write(scratch.photographs().join("m.png"), held_out).expect("a file");
    let make = |out: &str| {
        let config = Config {
            input: scratch.photographs(),
            out: scratch.0.join(out),
            settings: Settings {
                // More than there are kinds and levels: a photograph is drawn with each several times.
                kinds: vec![DistortionKind::Jpeg],
                per_image: Some(12),
                max_side: 64,
                seed: 3,
                vary: true,
                ..Settings::default()
            },
            threads: None,
        };
        dataset::make(&config, &|_| (), &|| false).expect("makes the dataset");
        contents(&config.out)
    };
    let made = make("one");
    assert_eq!(made, make("again"));
    let (_, manifest) = made.iter().find(|(name, _)| name == "manifest.jsonl").expect("a manifest");
    let lines = std::str::from_utf8(manifest).expect("text").lines();
    let rows: Vec<Row> = lines.map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert_eq!(rows.len(), 4 * 13);
    let mut sizes: BTreeMap<(&str, bool), BTreeSet<(usize, usize)>> = BTreeMap::new();
    for row in &rows {
        let (_, bytes) = made.iter().find(|(name, _)| *name == row.image).expect("the image is there");
        let image = decode(bytes, &Limits::default()).expect("a PNG").image;
        let (width, height) = (image.width(), image.height());
        // At least 0.7 of a side is framed, 0.6 of the size shown, and a side squeezed by 1.3.
        assert!((12..=64).contains(&width) && (12..=64).contains(&height), "{} {width} {height}", row.id);
        sizes.entry((&row.reference, row.split == Split::Train)).or_default().insert((width, height));
    }
    assert_eq!(sizes.keys().filter(|(_, is_train)| *is_train).count(), 3);
    for ((reference, is_train), sizes) in sizes {
        let expected = if is_train { 8..=13 } else { 1..=1 };
        assert!(expected.contains(&sizes.len()), "{reference} has {} sizes", sizes.len());
    }
}

#[test]
fn nothing_is_made_twice_and_what_another_wrote_stays() {
    let scratch = Scratch::new("twice");
    let config = |out: &str, settings: Settings| Config {
        input: scratch.photographs(),
        out: scratch.0.join(out),
        settings,
        threads: Some(1),
    };
    let refused = |config: &Config| {
        dataset::make(config, &|_| (), &|| false).map(|_| ()).expect_err("refused").to_string()
    };
    let settings = || Settings { per_image: Some(2), ..Settings::default() };
    let error = refused(&config("out", Settings { sizes: vec![32, 64, 32], ..settings() }));
    assert!(error.contains("sizes names 32 twice"), "{error}");
    let jpeg = DistortionKind::Jpeg;
    let error = refused(&config("out", Settings { kinds: vec![jpeg, jpeg], ..settings() }));
    assert!(error.contains("kinds names jpeg twice"), "{error}");
    assert!(!scratch.0.join("out").exists());

    let foreign = scratch.0.join("foreign/manifest.jsonl");
    fs::create_dir(scratch.0.join("foreign")).expect("a directory");
    fs::write(&foreign, "{\"a row\":1}\n").expect("a manifest");
    let error = refused(&config("foreign", settings()));
    assert!(error.contains("was not made by this command"), "{error}");
    assert_eq!(fs::read_to_string(&foreign).expect("it stays"), "{\"a row\":1}\n");

    // While one run is at work no other is.
    let busy = config("busy", Settings { sizes: vec![32], ..settings() });
    let met = std::sync::Mutex::new(None);
    let meanwhile = |_| {
        let mut met = met.lock().expect("no panic");
        met.get_or_insert_with(|| refused(&busy));
    };
    dataset::make(&busy, &meanwhile, &|| false).expect("makes the dataset");
    let met = met.into_inner().expect("no panic").expect("there were images");
    assert!(met.contains("in use by another run"), "{met}");

    // A photograph that is cut off is found before any other is degraded.
    let photographs = scratch.photographs();
    let whole = fs::read(photographs.join("a.png")).expect("a photograph");
    fs::write(photographs.join("z.png"), &whole[..whole.len() / 2]).expect("a file");
    let error = refused(&config("late", settings()));
    assert!(error.contains("z.png: the PNG file ends before the picture does"), "{error}");
    assert!(!scratch.0.join("late").exists());
}

#[test]
fn a_directory_without_photographs_is_named() {
    let scratch = Scratch::new("empty");
    let error = dataset::sources(&scratch.0).expect_err("there are none");
    assert!(error.to_string().contains(&*scratch.0.to_string_lossy()), "{error}");
}
