//! Decoding against Pillow and littleCMS, on the files that `images/make.py` writes; and the limits.

use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{
    DecodeError, Decoded, Format, Limits, RgbImage, Warning, decode, encode_png, probe, thumbnail_jpeg,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    file: String,
    expected: String,
    tolerance: u8,
    warnings: Vec<String>,
}

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images")
}

fn read(file: &str) -> Vec<u8> {
    let path = images().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).expect("rows of cases");
    assert!(!cases.is_empty());
    cases
}

fn decoded(file: &str) -> Decoded {
    decode(&read(file), &Limits::default()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn name(warning: &Warning) -> &'static str {
    match warning {
        Warning::ProfileIgnored { .. } => "profile_ignored",
        Warning::LaidOverWhite => "laid_over_white",
        Warning::FirstFrameOnly => "first_frame_only",
    }
}

/// The largest difference of two images of one size.
fn difference(ours: &RgbImage, theirs: &RgbImage) -> u8 {
    assert_eq!((ours.width(), ours.height()), (theirs.width(), theirs.height()));
    ours.data().iter().zip(theirs.data()).map(|(ours, theirs)| ours.abs_diff(*theirs)).max().unwrap_or(0)
}

#[test]
fn every_kind_of_file_decodes_as_in_pillow() {
    for case in cases() {
        let Decoded { image, warnings, .. } = decoded(&case.file);
        let off = difference(&image, &decoded(&case.expected).image);
        assert!(off <= case.tolerance, "{}: off by {off} levels", case.file);
        assert_eq!(warnings.iter().map(name).collect::<Vec<_>>(), case.warnings, "{}", case.file);
    }
}

#[test]
fn the_header_is_known_before_decoding() {
    for case in cases() {
        let header = probe(&read(&case.file)).expect(&case.file);
        assert_eq!((header.width, header.height, header.pixels()), (44, 27, 44 * 27), "{}", case.file);
        let format = match case.file.rsplit('.').next() {
            Some("png") => Format::Png,
            Some("jpg") => Format::Jpeg,
            _ => Format::WebP,
        };
        assert_eq!(header.format, format);
    }
}

/// A picture that was cut off has to be refused wherever the cut is: decoders would fill the rest with grey.
#[test]
fn a_file_that_was_cut_off_is_refused() {
    for case in cases() {
        let bytes = read(&case.file);
        // The last chunk of a PNG file has no pixels, and the last byte of a WebP file may be padding.
        let end = match probe(&bytes).expect(&case.file).format {
            Format::Png => bytes.len() - 17,
            Format::Jpeg => bytes.len(),
            Format::WebP => bytes.len() - 1,
        };
        for length in 0..end {
            let outcome = decode(&bytes[..length], &Limits::default());
            assert!(outcome.is_err(), "{} cut to {length} of {} bytes", case.file, bytes.len());
        }
    }
}

#[test]
fn limits_are_checked_before_decoding() {
    let bytes = read("rgb.png");
    let bound = |change: &dyn Fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        decode(&bytes, &limits).map(|decoded| decoded.warnings)
    };
    let (width, height) = (44, 27);
    assert_eq!(
        bound(&|limits| limits.max_bytes = 10),
        Err(DecodeError::TooManyBytes { bytes: bytes.len(), limit: 10 })
    );
    assert_eq!(bound(&|limits| limits.max_side = 43), Err(DecodeError::TooLong { width, height, limit: 43 }));
    assert_eq!(
        bound(&|limits| limits.max_pixels = 1187),
        Err(DecodeError::TooManyPixels { width, height, limit: 1187 })
    );
    assert_eq!(
        bound(&|limits| limits.max_memory = 3563),
        Err(DecodeError::TooMuchMemory { width, height, bytes: 3564, limit: 3563 })
    );
    assert_eq!(bound(&|limits| limits.max_pixels = 1188), Ok(vec![]));
}

#[test]
fn a_huge_image_in_a_small_file_is_refused_by_its_header() {
    let mut png = read("rgb.png");
    png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    let mut jpeg = read("baseline.jpg");
    let frame = jpeg.windows(4).position(|bytes| bytes == [0xff, 0xc0, 0, 17]).expect("a frame header");
    jpeg[frame + 5..frame + 9].fill(0xff);
    for bytes in [png, jpeg] {
        let error = decode(&bytes, &Limits::default()).expect_err("above the limits");
        assert!(matches!(error, DecodeError::TooLong { .. }), "{error}");
    }
}

#[test]
fn a_file_whose_data_is_damaged_is_refused() {
    for (file, start) in [("baseline.jpg", b"\xff\xda"), ("rgb.png", b"ID")] {
        let mut bytes = read(file);
        let start = bytes.windows(2).rposition(|bytes| bytes == start).expect("image data");
        let middle = (start + bytes.len()) / 2;
        bytes[middle..middle + 3].copy_from_slice(b"\xff\xc8\0");
        let error = decode(&bytes, &Limits::default()).expect_err(file).to_string();
        assert!(error.contains("damaged") || error.contains("ends before"), "{file}: {error}");
    }
}

#[test]
fn what_follows_the_image_does_no_harm() {
    for file in ["baseline.jpg", "rgb.png", "lossy.webp"] {
        let mut bytes = read(file);
        bytes.extend_from_slice(b"ICCP\xff\xff\xff\xff and other things");
        let appended = decode(&bytes, &Limits::default()).expect(file);
        assert_eq!(appended, decoded(file));
    }
}

#[test]
fn a_png_is_what_it_was_made_of() {
    let image = decoded("rgb.png").image;
    let bytes = encode_png(&image).expect("a small image");
    assert_eq!(decode(&bytes, &Limits::default()).expect("our own file").image, image);
}

#[test]
fn a_thumbnail_is_small_and_alike() {
    let image = decoded("rgb.png").image;
    let thumbnail = decode(&thumbnail_jpeg(&image, 22).expect("a small image"), &Limits::default());
    let thumbnail = thumbnail.expect("our own file").image;
    assert_eq!((thumbnail.width(), thumbnail.height()), (22, 14));
    let mean = |image: &RgbImage| {
        image.data().iter().map(|&sample| f64::from(sample)).sum::<f64>() / image.data().len() as f64
    };
    assert!((mean(&image) - mean(&thumbnail)).abs() < 2.0);
}
