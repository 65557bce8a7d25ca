//! What a glance at a dataset shows before long work begins.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use qponder_kernels::pixels::{Format, Limits, probe};
use qponder_shared::manifest::Row;
use rayon::prelude::*;

use super::inspect::{InspectError, check_shape, inspect};
use super::verify::{Fault, labels_and_references};

/// So many bytes tell the format and the size of an image, or so many: those of a JPEG follow its metadata.
const BEGINNINGS: [u64; 2] = [512, 1 << 16];
/// How a PNG file ends.
const PNG_END: [u8; 8] = *b"IEND\xAE\x42\x60\x82";
/// How a JPEG file ends.
const JPEG_END: [u8; 2] = [0xFF, 0xD9];
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

/// Looks at rows that some work will use, each with the place of its image: whether the image is there, begins like
/// one, has a size that a model takes and is not cut off, whether label and answer are some, and whether two splits
/// share a reference. Of images only those are decoded whose end is not where their format has it.
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
        let source = glance(path).err()?;
        Some(Fault::Image { id: row.id.clone(), path: path.to_owned(), source })
    });
    faults.extend(images.collect::<Vec<_>>());
    if faults.is_empty() { Ok(()) } else { Err(Unfit { faults }) }
}

/// Whether a file is there, begins like an image of a size that a model takes, and is not cut off.
pub(super) fn glance(path: &Path) -> Result<(), InspectError> {
    let mut start = Vec::new();
    let mut file = File::open(path)?;
    let limits = Limits::default();
    limits.check_bytes(usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX))?;
    for most in BEGINNINGS {
        file.by_ref().take(most - start.len() as u64).read_to_end(&mut start)?;
        Format::of(&start)?;
        let Ok(header) = probe(&start) else { continue };
        limits.check_header(&header)?;
        check_shape(header.height as usize, header.width as usize)?;
        if ends_where_it_should(header.format, &start, &mut file)? {
            return Ok(());
        }
        break;
    }
    inspect(path).map(drop)
}

/// Whether a file ends as its format demands. One that does not may still be whole, with something after its end.
fn ends_where_it_should(format: Format, start: &[u8], file: &mut File) -> std::io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    let end: &[u8] = match format {
        Format::Png => &PNG_END,
        Format::Jpeg => &JPEG_END,
        Format::WebP => {
            // The size of what follows the first eight bytes, which is even.
            let Some(size) = start.get(4..8) else { return Ok(false) };
            let size = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
            return Ok(size.next_multiple_of(2) + 8 == length);
        }
    };
    let mut found = vec![0; end.len()];
    file.seek(SeekFrom::Start(length.saturating_sub(end.len() as u64)))?;
    Ok(length >= end.len() as u64 && file.read_exact(&mut found).is_ok() && found == end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use qponder_shared::manifest::{Label, Split};

    #[test]
    fn an_image_that_is_cut_off_is_found_and_one_with_something_after_its_end_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let pixels: Vec<u8> = (0..48 * 48 * 3).map(|index| (index * 7 % 251) as u8).collect();
        let image = image::RgbImage::from_raw(48, 48, pixels).expect("48 x 48");
        for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP] {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image.write_to(&mut bytes, format).expect("encodes");
            let whole = bytes.into_inner();
            let path = dir.path().join("image");
            let glance_at = |bytes: &[u8]| {
                std::fs::write(&path, bytes).expect("writes");
                glance(&path)
            };
            glance_at(&whole).unwrap_or_else(|error| panic!("{format:?}: {error}"));
            let mut longer = whole.clone();
            longer.extend(b"a vendor's own data");
            glance_at(&longer).unwrap_or_else(|error| panic!("{format:?}, longer: {error}"));
            for cut in [whole.len() / 2, whole.len() - 13] {
                assert!(glance_at(&whole[..whole.len() - cut]).is_err(), "{format:?} less {cut}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_before_anything_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let image = qponder_kernels::pixels::RgbImage::new(8, 8, vec![0; 192]).expect("8 x 8");
        let png = qponder_kernels::pixels::encode_png(&image).expect("encodes");
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
