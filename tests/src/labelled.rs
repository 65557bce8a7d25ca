//! A small labelled dataset.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::pictures::png;

/// Writes so many small pictures of a split into `dir`, each with an opinion of its own, and returns their manifest.
pub fn dataset(dir: &Path, pictures: u8, split: &str) -> PathBuf {
    fs::create_dir_all(dir).expect("a folder");
    let mut lines = String::new();
    for picture in 0..pictures {
        let id = format!("p{picture}");
        fs::write(dir.join(format!("{id}.png")), png(56, 56, picture.wrapping_mul(37))).expect("writes");
        let row = json!({
            "id": id, "image": format!("{id}.png"), "mos": 1.5 + 0.5 * f64::from(picture % 6), "reference": id,
            "split": split, "source": "synthetic",
        });
        lines.push_str(&format!("{row}\n"));
    }
    let manifest = dir.join("manifest.jsonl");
    fs::write(&manifest, lines).expect("writes");
    manifest
}
