//! Label files and images that are published in binary formats.

use std::fs;
use std::path::Path;

use qponder_kernels::pixels::{Limits, decode};
use qponder_pipeline::dataset::verify::verify;
use qponder_shared::dataset::Format;
use qponder_tests::server::root;

use crate::published::Published;

#[test]
fn spreadsheets_and_matlab_files_are_read_as_published() {
    for (format, published, as_text) in [
        (Format::Spaq, "spaq/MOS and Image attribute scores.xlsx", "spaq/MOS and Image attribute scores.csv"),
        (Format::Csiq, "csiq/csiq.DMOS.xlsx", "csiq/csiq_dmos.txt"),
        (Format::LiveW, "live-w/Data", "live-w/live-w.csv"),
        (Format::LiveW, "live-w/Data/AllMOS_release.mat", "live-w/live-w.csv"),
    ] {
        let text = Published::fixture(format, as_text);
        text.import().expect("it imports");
        let mut binary = Published::fixture(format, as_text);
        binary.wanted.labels = root().join("tests/fixtures/datasets").join(published);
        let summary = binary.import().unwrap_or_else(|error| panic!("{published}: {error}"));
        assert_eq!(summary.listed, text.rows().len(), "{published}");
        assert_eq!(binary.rows(), text.rows(), "{published}");
    }

    // Rows are called by their numbers in the sheet: two above the header, and the header.
    let mut csiq = Published::fixture(Format::Csiq, "csiq/csiq_dmos.txt");
    csiq.wanted.labels = root().join("tests/fixtures/datasets/csiq/csiq.DMOS.xlsx");
    fs::remove_dir_all(&csiq.wanted.images).expect("removed");
    fs::create_dir(&csiq.wanted.images).expect("a folder");
    let problems = csiq.import().expect("it ends").problems;
    assert_eq!(problems[0].at, "line 4");

    // Files that were cut off anywhere.
    let mut damaged = Published::text(Format::LiveW, "");
    damaged.wanted.labels = damaged.dir.path().join("Data");
    let data = damaged.wanted.labels.clone();
    fs::create_dir(&data).expect("a folder");
    let published = root().join("tests/fixtures/datasets/live-w/Data");
    let files = ["AllImages_release.mat", "AllMOS_release.mat", "AllStdDev_release.mat"];
    for name in files {
        fs::copy(published.join(name), data.join(name)).expect("copied");
    }
    for name in files {
        let bytes = fs::read(data.join(name)).expect("a file");
        for length in (0..bytes.len()).step_by(7) {
            fs::write(data.join(name), &bytes[..length]).expect("written");
            let error = damaged.import().expect_err("it is damaged");
            assert!(error.contains(name), "{length}: {error}");
        }
        fs::write(data.join(name), bytes).expect("written");
    }
}

/// A BMP of 24 bits a pixel: blue, green, red, the last row first.
fn bitmap(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
    let stride = (3 * width).next_multiple_of(4);
    let word = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
    let mut bytes = b"BM".to_vec();
    for number in [54 + stride * height, 0, 54, 40, width, height] {
        bytes.extend(word(number));
    }
    bytes.extend([1, 0, 24, 0]);
    for number in [0, stride * height, 0, 0, 0, 0] {
        bytes.extend(word(number));
    }
    for y in (0..height).rev() {
        let row: Vec<u8> = (0..width).flat_map(|x| pixel(x, y).into_iter().rev()).collect();
        bytes.extend(&row);
        bytes.extend(vec![0; stride - row.len()]);
    }
    bytes
}

#[test]
fn bitmaps_become_pngs_of_the_same_pixels() {
    let mut published = Published::fixture(Format::Pipal, "pipal/Train_Label");
    let pixel = |seed: usize| move |x: usize, y: usize| [(9 * x + seed) as u8, (11 * y) as u8, (x * y) as u8];
    let names = published.names();
    for (seed, image) in names.iter().enumerate() {
        fs::write(published.wanted.images.join(image), bitmap(15, 17, pixel(seed))).expect("written");
    }
    let summary = published.import().expect("it imports");
    assert_eq!((summary.bitmaps, summary.converted, summary.problems.len()), (names.len(), 0, 0));
    for (seed, row) in published.rows().iter().enumerate() {
        assert!(row.image.starts_with("images/") && row.image.ends_with(".bmp.png"), "{}", row.image);
        let png = fs::read(published.wanted.out.join(&row.image)).expect("a PNG");
        let image = decode(&png, &Limits::default()).expect("it decodes").image;
        let file = Path::new(row.image.trim_end_matches(".png"));
        let seed =
            names.iter().position(|name| Path::new(name).file_name() == file.file_name()).unwrap_or(seed);
        let expected: Vec<u8> = (0..17).flat_map(|y| (0..15).flat_map(move |x| pixel(seed)(x, y))).collect();
        assert_eq!((image.width(), image.height(), image.data()), (15, 17, expected.as_slice()));
    }
    let report = verify(&[published.manifest()], false, &|_| ()).expect("it can be verified");
    assert!(report.faults.is_empty() && report.compared == names.len(), "{:?}", report.faults);

    // One that was cut off is a problem of its own.
    let whole = fs::read(published.wanted.images.join(&names[0])).expect("a BMP");
    fs::write(published.wanted.images.join(&names[0]), &whole[..whole.len() / 2]).expect("written");
    published.wanted.out = published.dir.path().join("again");
    let problems = published.import().expect("it ends").problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
}
