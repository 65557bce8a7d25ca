//! Images of other programs, labelled by comparison with what they were made from.

use std::fs;
use std::path::Path;

use qponder_kernels::pixels::{RgbImage, encode_png};
use qponder_pipeline::dataset::pairs::label;
use qponder_pipeline::degrade::degrade;
use qponder_pipeline::proxy::{measure, proxy_score};
use qponder_shared::manifest::{Label, Row, Split};
use qponder_shared::{Distortion, DistortionKind, Severity};

fn picture(side: usize) -> RgbImage {
    let pixel = |i: usize| ((i % side * 3) ^ (i / side * 5)) as u8;
    RgbImage::new(side, side, (0..side * side).flat_map(|i| [pixel(i), pixel(i) / 2, 90]).collect())
        .expect("a square")
}

fn write(dir: &Path, name: &str, image: &RgbImage) {
    fs::write(dir.join(name), encode_png(image).expect("encodes")).expect("writes");
}

#[test]
fn pairs_become_rows_with_the_proxy_of_our_own_images() {
    let dir = tempfile::tempdir().expect("a directory");
    let distortion = Distortion { kind: DistortionKind::GaussianBlur, level: Severity::ALL[2] };
    let (pristine, blurred) = (picture(64), degrade(&picture(64), distortion, 1));
    write(dir.path(), "clean.png", &pristine);
    write(dir.path(), "blurred.png", &blurred);
    write(dir.path(), "small.png", &picture(32));
    let (pairs, out) = (dir.path().join("pairs.jsonl"), dir.path().join("manifest.jsonl"));
    let line = |image: &str| {
        format!(
            r#"{{"image":"{image}","pristine":"clean.png","reference":"a","split":"val","source":"Pillow","distortions":[{{"kind":"gaussian_blur","level":3}}]}}"#
        )
    };
    fs::write(&pairs, format!("{}\n\n", line("blurred.png"))).expect("writes");
    assert_eq!(label(&pairs, &out, &|_| ()).expect("labels"), 1);
    let row: Row = serde_json::from_str(&fs::read_to_string(&out).expect("a manifest")).expect("a row");
    assert_eq!(
        (row.id.as_str(), row.split, row.distortions.as_slice()),
        ("blurred", Split::Val, &[distortion][..])
    );
    assert_eq!(row.label, Label::Proxy(proxy_score(&measure(&pristine, &blurred))));

    let fails = |text: String, out: &Path, expected: &str| {
        fs::write(&pairs, text).expect("writes");
        let error = label(&pairs, out, &|_| ()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(format!("{}\n{}\n", line("blurred.png"), line("small.png")), &out, "line 2: (32, 32) and (64, 64)");
    fails(line("nowhere.png"), &out, "nowhere.png");
    fails("{}".into(), &out, "line 1");
    fails(line("blurred.png"), &dir.path().join("other/manifest.jsonl"), "same folder");
}
