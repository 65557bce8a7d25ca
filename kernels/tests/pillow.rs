//! Parity with Pillow and with transformers' image processor, on the fixtures in `tests/fixtures`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{Filter, Limits, PatchConfig, Patches, RgbImage, decode, resize, smart_resize};
use serde::Deserialize;

/// The reference stores the value to the bit; a compiler that fuses operations may move the last one.
const TOLERANCE: f32 = 1e-6;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn picture(path: &Path) -> RgbImage {
    match decode(&read(path), &Limits::default()) {
        Ok(decoded) => decoded.image,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// A tensor's place in a safetensors file.
#[derive(Deserialize)]
struct Entry {
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// Shapes and bytes of the tensors in a safetensors file.
fn tensors(path: &Path) -> HashMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = read(path);
    let (length, rest) = bytes.split_first_chunk().expect("eight bytes of length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: HashMap<String, serde_json::Value> = serde_json::from_slice(header).expect("a JSON header");
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, entry)| {
            let Entry { shape, data_offsets: (start, end) } =
                serde_json::from_value(entry).expect("an entry");
            (name, (shape, data[start..end].to_vec()))
        })
        .collect()
}

#[derive(Deserialize)]
struct Resize {
    tensor: String,
    image: String,
    height: usize,
    width: usize,
}

#[test]
fn bicubic_resizing_is_pillows_to_the_bit() {
    let folder = fixtures().join("pillow");
    let expected = tensors(&folder.join("resize.safetensors"));
    let cases: Vec<Resize> = read_json(&folder.join("resize.json"));
    assert!(!cases.is_empty());
    for case in cases {
        let resized = resize(&picture(&folder.join(&case.image)), case.width, case.height, Filter::Bicubic);
        let (shape, bytes) = &expected[&case.tensor];
        assert_eq!(*shape, [case.height, case.width, 3], "{}", case.tensor);
        let different = resized.data().iter().zip(bytes).filter(|(ours, theirs)| ours != theirs).count();
        assert_eq!((resized.data().len(), different), (bytes.len(), 0), "{}", case.tensor);
    }
}

#[derive(Deserialize)]
struct Processed {
    tensor: String,
    image: String,
    min_pixels: usize,
    max_pixels: usize,
    grid_thw: [usize; 3],
}

#[test]
fn patches_are_those_of_transformers() {
    let folder = fixtures().join("transformers");
    let expected = tensors(&folder.join("image_processor/pixel_values.safetensors"));
    let cases: Vec<Processed> = read_json(&folder.join("image_processor/cases.json"));
    assert!(!cases.is_empty());
    for case in cases {
        let config = PatchConfig {
            min_pixels: case.min_pixels,
            max_pixels: case.max_pixels,
            ..PatchConfig::default()
        };
        let patches = Patches::new(&picture(&folder.join(&case.image)), &config).expect(&case.tensor);
        assert_eq!(patches.grid, case.grid_thw, "{}", case.tensor);

        // The fixture keeps one of the two equal frames: (patches, channel, row, column).
        let (shape, bytes) = &expected[&case.tensor];
        assert_eq!(*shape, [patches.count(), 3, 14, 14], "{}", case.tensor);
        let expected = bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value));
        assert_eq!(patches.values.len(), expected.len(), "{}", case.tensor);
        let worst = patches
            .values
            .iter()
            .zip(expected)
            .map(|(ours, theirs)| (ours - theirs).abs())
            .fold(0.0, f32::max);
        assert!(worst <= TOLERANCE, "{}: off by {worst}", case.tensor);
    }
}

/// Height, width, least and most pixels, and the answer: height and width, or none where the shape is refused.
type SizeRow = (usize, usize, usize, usize, Option<(usize, usize)>);

#[derive(Deserialize)]
struct Sizes {
    factor: usize,
    rows: Vec<SizeRow>,
}

#[test]
fn smart_resize_is_that_of_transformers() {
    let sizes: Sizes = read_json(&fixtures().join("transformers/image_processor/smart_resize.json"));
    assert!(!sizes.rows.is_empty());
    for (height, width, min_pixels, max_pixels, expected) in sizes.rows {
        let ours = smart_resize(height, width, sizes.factor, min_pixels, max_pixels);
        assert_eq!(ours.ok(), expected, "{height} by {width} within {min_pixels} to {max_pixels}");
    }
}

#[test]
fn configurations_of_both_layouts_are_read() {
    let folder = fixtures().join("transformers");
    for (file, pixels) in [
        ("flat-bf16-tied/preprocessor_config.json", (4704, 9408)),
        ("nested-f32-tied/processor_config.json", (3136, 19600)),
    ] {
        let config: PatchConfig = read_json(&folder.join(file));
        let (min_pixels, max_pixels) = pixels;
        assert_eq!(config, PatchConfig { min_pixels, max_pixels, ..PatchConfig::default() }, "{file}");
    }
}
