//! What a glance at a dataset shows before long work begins.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use qponder_kernels::pixels::Format;
use qponder_shared::manifest::Row;
use rayon::prelude::*;

use super::inspect::InspectError;
use super::verify::{Fault, labels_and_references};

/// Bytes that tell the format of an image.
const SIGNATURE: u64 = 32;
/// Faults that are shown.
const SHOWN: usize = 3;

/// A dataset that long work must not begin with.
#[derive(Debug, thiserror::Error)]
pub struct Unfit {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl Display for Unfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(f, "the dataset has {count} {}: ", if count == 1 { "fault" } else { "faults" })?;
        for (index, fault) in self.faults.iter().take(SHOWN).enumerate() {
            write!(f, "{}{fault}", if index > 0 { "; " } else { "" })?;
        }
        if count > SHOWN {
            write!(f, "; and {} more", count - SHOWN)?;
        }
        f.write_str(". `qponder dataset verify` with its manifests decodes every image and lists everything")
    }
}

/// Looks at rows that some work will use, each with the place of its image: whether the image is there and
/// begins like one, whether the label is one, and whether two splits share a reference. Images are not decoded.
///
/// # Errors
/// When anything of that is not so.
pub fn preflight<'a>(rows: impl Iterator<Item = (&'a Row, &'a Path)>) -> Result<(), Unfit> {
    // A manifest may be listed several times, to weigh more.
    let mut met = HashSet::new();
    let is_new = |(row, path): &(&'a Row, &'a Path)| {
        met.insert((*path, row.split.name(), row.reference.as_str(), row.label.value().to_bits()))
    };
    let rows: Vec<(&Row, &Path)> = rows.filter(is_new).collect();
    let mut faults = Vec::new();
    labels_and_references(rows.iter().map(|(row, _)| *row), &mut faults);
    let images = rows.par_iter().filter_map(|&(row, path)| {
        let source = begins_like_an_image(path).err()?;
        Some(Fault::Image { id: row.id.clone(), path: path.to_owned(), source })
    });
    faults.extend(images.collect::<Vec<_>>());
    if faults.is_empty() { Ok(()) } else { Err(Unfit { faults }) }
}

fn begins_like_an_image(path: &Path) -> Result<(), InspectError> {
    let mut start = Vec::new();
    File::open(path)?.take(SIGNATURE).read_to_end(&mut start)?;
    Format::of(&start)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use qponder_shared::manifest::{Label, Split};

    #[test]
    fn what_is_wrong_is_named_before_anything_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let png = b"\x89PNG\r\n\x1a\n and what follows, which a glance does not read";
        for (name, bytes) in [("good.png", &png[..]), ("words.png", b"hello"), ("empty.png", b"")] {
            std::fs::write(dir.path().join(name), bytes).expect("writes");
        }
        let row = |image: &str, label: f64, reference: &str, split| {
            let row = Row {
                id: format!("row of {image}"),
                image: image.to_owned(),
                label: Label::Mos(label),
                mos_std: None,
                reference: reference.to_owned(),
                distortions: Vec::new(),
                split,
                source: "synthetic".to_owned(),
                metrics: None,
                answer: None,
            };
            (row, dir.path().join(image))
        };
        let faults = |rows: &[(Row, std::path::PathBuf)]| {
            let found = preflight(rows.iter().map(|(row, path)| (row, path.as_path())));
            found.map_or_else(|unfit| unfit.to_string(), |()| String::new())
        };
        let good = row("good.png", 3.0, "a", Split::Train);
        // The same row again is no leak.
        assert_eq!(faults(&[good.clone(), good.clone()]), "");

        let bad = [
            good,
            row("missing.png", 5.5, "b", Split::Train),
            row("words.png", f64::NAN, "a", Split::Val),
            row("empty.png", 1.0, "c", Split::Val),
        ];
        let text = faults(&bad);
        assert!(text.starts_with("the dataset has 6 faults: row of missing.png: the label 5.5"), "{text}");
        assert!(text.contains("and 3 more. `qponder dataset verify`"), "{text}");
        let reference = faults(&[bad[0].clone(), row("good2.png", 2.0, "a", Split::Val)]);
        assert!(
            reference.contains("reference a is in several splits: row of good.png in train"),
            "{reference}"
        );
        let twice = faults(&[bad[3].clone(), bad[3].clone()]);
        assert!(twice.starts_with("the dataset has 1 fault: row of empty.png"), "{twice}");
        let both = faults(&[bad[0].clone(), row("good.png", 3.0, "a", Split::Val)]);
        assert!(both.starts_with("the dataset has 1 fault: reference a is in several splits"), "{both}");
    }
}
