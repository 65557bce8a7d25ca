//! What the published names of images say: reference, distortion and level.
//!
//! Many label files list distorted images without their references. Splitting such a file image by image
//! would put versions of one photograph on both sides, so the naming schemes of the datasets are read:
//!
//! | dataset | name | reference | kind | level |
//! |---|---|---|---|---|
//! | KADID-10k | `I01_09_03.png` | `I01` | 9, which is JPEG 2000 | 3 |
//! | TID2013 | `i01_09_3.bmp` | `i01` | its own 9 | 3 |
//! | PIPAL | `A0001_02_03.bmp` | `A0001` | not told | not told |
//! | CSIQ | `foxy.AWGN.3.png` | `foxy` | white noise | 3 |
//!
//! Any other name, with its folders and without its extension, is its own reference.

use super::Step;
use crate::{Distortion, DistortionKind, Severity};

/// What a name tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub reference: String,
    pub step: Option<Step>,
    pub distortion: Option<Distortion>,
}

impl Name {
    /// Reads `image`, which may have folders before it.
    pub fn of(image: &str) -> Self {
        let whole = without_extension(image);
        let stem = whole.rsplit(['/', '\\']).next().unwrap_or(whole);
        numbered(stem).or_else(|| csiq(stem)).unwrap_or_else(|| Self {
            reference: whole.to_owned(),
            step: None,
            distortion: None,
        })
    }
}

/// `image` up to its file extension.
pub(super) fn without_extension(image: &str) -> &str {
    match image.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.contains(['/', '\\']) => stem,
        _ => image,
    }
}

/// KADID-10k, TID2013 and PIPAL: a letter with digits, then two numbers of a fixed width.
fn numbered(stem: &str) -> Option<Name> {
    let mut parts = stem.split('_');
    let (first, kind, level) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || kind.len() != 2 || !digits(kind) || !digits(level) {
        return None;
    }
    let reference = first.to_owned();
    let letter = first.chars().next()?;
    let number = first.strip_prefix(letter).filter(|number| digits(number))?;
    match (letter, number.len(), level.len()) {
        ('I', 2, 2) => {
            let (kind, level): (usize, u8) = (kind.parse().ok()?, level.parse().ok()?);
            let distortion = Distortion {
                kind: *DistortionKind::ALL.get(kind.checked_sub(1)?)?,
                level: Severity::try_from(level).ok()?,
            };
            let step = Step { kind: distortion.kind.name().to_owned(), level };
            Some(Name { reference, step: Some(step), distortion: Some(distortion) })
        }
        ('i' | 'I', 2, 1) => {
            let step = Step { kind: kind.to_owned(), level: level.parse().ok()? };
            Some(Name { reference, step: Some(step), distortion: None })
        }
        ('A', 4, 2) => Some(Name { reference, step: None, distortion: None }),
        _ => None,
    }
}

/// CSIQ: the reference, the distortion and its level with points between.
fn csiq(stem: &str) -> Option<Name> {
    let mut parts = stem.rsplitn(3, '.');
    let (level, kind, reference) = (parts.next()?, parts.next()?, parts.next()?);
    let level: u8 = level.parse().ok()?;
    csiq_step(reference, kind, level)
}

/// What CSIQ's name of a distortion and its level mean. Its pink noise (`fnoise`) is none of our kinds.
pub(super) fn csiq_step(reference: &str, kind: &str, level: u8) -> Option<Name> {
    let level_of_ours = Severity::try_from(level).ok()?;
    let kind: String = kind.chars().filter(|letter| !letter.is_whitespace()).collect();
    let kind = kind.to_ascii_lowercase();
    let ours = match kind.as_str() {
        "awgn" | "noise" => Some(DistortionKind::WhiteNoise),
        "jpeg" => Some(DistortionKind::Jpeg),
        "jpeg2000" => Some(DistortionKind::Jpeg2000),
        "blur" => Some(DistortionKind::GaussianBlur),
        "contrast" => Some(DistortionKind::ContrastChange),
        "fnoise" => None,
        _ => return None,
    };
    let distortion = ours.map(|kind| Distortion { kind, level: level_of_ours });
    Some(Name { reference: reference.to_owned(), step: Some(Step { kind, level }), distortion })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_tell_reference_and_distortion() {
        for (image, reference, level, distortion) in [
            ("I01_09_03.png", "I01", Some(3), Some(DistortionKind::Jpeg2000)),
            ("kadid10k/images/I81_25_05.png", "I81", Some(5), Some(DistortionKind::ContrastChange)),
            ("I04_01_1.bmp", "I04", Some(1), None),
            ("A0001_03_21.bmp", "A0001", None, None),
            ("csiq/dst_imgs/awgn/foxy.AWGN.3.png", "foxy", Some(3), Some(DistortionKind::WhiteNoise)),
            ("1600.jpeg2000.5.png", "1600", Some(5), Some(DistortionKind::Jpeg2000)),
            ("1600.fnoise.1.png", "1600", Some(1), None),
            ("I01_26_01.png", "I01_26_01", None, None),
            ("I01_01_06.png", "I01_01_06", None, None),
            ("10004473376.jpg", "10004473376", None, None),
            ("jpeg/img1.bmp", "jpeg/img1", None, None),
            ("folder.v2/file", "folder.v2/file", None, None),
        ] {
            let name = Name::of(image);
            assert_eq!(name.reference, reference, "{image}");
            assert_eq!(name.step.map(|step| step.level), level, "{image}");
            assert_eq!(name.distortion.map(|found| found.kind), distortion, "{image}");
        }
    }
}
