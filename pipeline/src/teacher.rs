//! The rule-based teacher: answers for images whose distortions are known.
//!
//! It writes the response grammar with varied wording. The attribute that a distortion hurts gets the
//! level of the score, so that the reasoning supports the answer; the text names the distortion and
//! its severity. [`named_distortion`] reads that back, which is how type accuracy is measured.

use qponder_shared::grammar::{self, Observation};
use qponder_shared::manifest::{Label, Row};
use qponder_shared::{Attribute, Distortion, DistortionKind, Level, Score, Severity};

use crate::degrade::Rng;

/// What the teacher calls a distortion; no name is part of another.
#[must_use]
pub fn name(kind: DistortionKind) -> &'static str {
    use DistortionKind as K;
    match kind {
        K::GaussianBlur => "gaussian blur",
        K::LensBlur => "lens blur",
        K::MotionBlur => "motion blur",
        K::ColourDiffusion => "colour bleeding",
        K::ColourShift => "colour misregistration",
        K::ColourQuantisation => "colour banding",
        K::SaturationHsv => "desaturation",
        K::SaturationLab => "oversaturation",
        K::Jpeg2000 => "wavelet compression",
        K::Jpeg => "block compression",
        K::WhiteNoise => "white noise",
        K::ColourNoise => "chroma noise",
        K::ImpulseNoise => "impulse noise",
        K::MultiplicativeNoise => "speckle",
        K::Denoise => "denoising smear",
        K::Brighten => "overexposure",
        K::Darken => "underexposure",
        K::MeanShift => "brightness offset",
        K::Jitter => "pixel jitter",
        K::NonEccentricityPatch => "displaced patches",
        K::Pixelate => "pixelation",
        K::Quantisation => "tone quantisation",
        K::ColourBlock => "colour blocks",
        K::Oversharpen => "oversharpening",
        K::ContrastChange => "contrast change",
    }
}

/// The distortions of a row in words, under the names by which [`named_distortion`] finds them again.
#[must_use]
pub fn known_distortions(row: &Row) -> String {
    let named = row.distortions.iter().map(|d| format!("{} {}", d.level.word(), name(d.kind)));
    let named = named.collect::<Vec<_>>().join(", ");
    match (named.is_empty(), row.label) {
        (false, _) => named,
        (true, Label::Proxy(_)) => "none was added".to_owned(),
        (true, Label::Mos(_)) => "nothing is known of them".to_owned(),
    }
}

/// The attribute that a distortion hurts.
#[must_use]
pub fn attribute(kind: DistortionKind) -> Attribute {
    use DistortionKind as K;
    match kind {
        K::GaussianBlur | K::LensBlur | K::MotionBlur | K::Jitter | K::Pixelate | K::Oversharpen => {
            Attribute::Sharpness
        }
        K::WhiteNoise | K::ColourNoise | K::ImpulseNoise | K::MultiplicativeNoise | K::Denoise => {
            Attribute::Noise
        }
        K::Brighten | K::Darken | K::MeanShift => Attribute::Exposure,
        K::Quantisation | K::ContrastChange => Attribute::Contrast,
        K::ColourDiffusion | K::ColourShift | K::ColourQuantisation | K::SaturationHsv | K::SaturationLab => {
            Attribute::Colour
        }
        K::Jpeg2000 | K::Jpeg | K::NonEccentricityPatch | K::ColourBlock => Attribute::Compression,
    }
}

/// What one sees of a distortion, in two wordings.
fn effects(kind: DistortionKind) -> [&'static str; 2] {
    use DistortionKind as K;
    match kind {
        K::GaussianBlur => ["fine detail is softened evenly", "edges are soft everywhere"],
        K::LensBlur => ["points spread into discs", "the picture is out of focus"],
        K::MotionBlur => ["edges are smeared along one direction", "the camera moved"],
        K::ColourDiffusion => ["colours run over their edges", "hues bleed into each other"],
        K::ColourShift => ["colour fringes follow the edges", "one channel is displaced"],
        K::ColourQuantisation => ["smooth colours break into bands", "too few colours are left"],
        K::SaturationHsv => ["colours are pale", "the hues have faded"],
        K::SaturationLab => ["colours are garish", "the hues glow unnaturally"],
        K::Jpeg2000 => ["edges ring and texture is smeared", "fine texture dissolves into ripples"],
        K::Jpeg => ["square blocks show in smooth areas", "edges are ringed by mosquito patterns"],
        K::WhiteNoise => ["grain covers the whole picture", "even areas are grainy"],
        K::ColourNoise => ["coloured grain covers the picture", "even areas flicker in colour"],
        K::ImpulseNoise => ["single pixels are black or white", "salt and pepper dots are scattered about"],
        K::MultiplicativeNoise => ["bright areas are grainy", "grain grows with brightness"],
        K::Denoise => ["texture is washed away", "surfaces look like wax"],
        K::Brighten => ["highlights are washed out", "the picture is too bright"],
        K::Darken => ["shadows are closed", "the picture is too dark"],
        K::MeanShift => ["all tones are shifted", "black or white is never reached"],
        K::Jitter => ["edges are frayed", "pixels are out of place"],
        K::NonEccentricityPatch => {
            ["small patches stand in the wrong place", "pieces of the picture are moved"]
        }
        K::Pixelate => ["large square pixels replace detail", "the picture is coarse like a mosaic"],
        K::Quantisation => ["gradients break into steps", "too few tones are left"],
        K::ColourBlock => ["flat coloured squares cover parts", "random squares hide the picture"],
        K::Oversharpen => ["edges have bright and dark halos", "detail is harsh and haloed"],
        K::ContrastChange => ["the tonal range is wrong", "tones are stretched or flattened"],
    }
}

/// What is said of an attribute that nothing hurts.
fn sound(attribute: Attribute) -> [&'static str; 2] {
    match attribute {
        Attribute::Sharpness => ["fine detail is crisp", "edges are clean"],
        Attribute::Noise => ["even areas are clean", "no grain is visible"],
        Attribute::Exposure => ["highlights and shadows hold detail", "brightness is well balanced"],
        Attribute::Contrast => ["tones are well separated", "the tonal range is natural"],
        Attribute::Colour => ["hues look natural", "colours are true"],
        Attribute::Compression => ["no artefacts are visible", "smooth areas stay smooth"],
    }
}

fn pick<'a>(rng: &mut Rng, wordings: &[&'a str]) -> &'a str {
    wordings[rng.below(wordings.len())]
}

/// The teacher's answer on an image with these distortions and this score; the seed varies the
/// wording. Of several distortions of one attribute the strongest is named.
#[must_use]
pub fn write(distortions: &[Distortion], score: Score, seed: u64) -> String {
    let rng = &mut Rng::new(seed, 0);
    let level = score.level();
    let observations: Vec<Observation> = Attribute::ALL
        .into_iter()
        .map(|attribute| {
            let hurt =
                distortions.iter().filter(|d| self::attribute(d.kind) == attribute).max_by_key(|d| d.level);
            let Some(distortion) = hurt else {
                let text = pick(rng, &sound(attribute)).to_owned();
                return Observation { attribute, text, level: Some(Level::Excellent) };
            };
            let effect = pick(rng, &effects(distortion.kind));
            let text = format!("{} {}, {effect}", distortion.level.word(), name(distortion.kind));
            Observation { attribute, text, level: Some(level) }
        })
        .collect();
    let summary = match distortions.iter().max_by_key(|d| d.level) {
        None => pick(rng, &["Nothing disturbs the picture.", "There is nothing to criticise."]).to_owned(),
        Some(worst) => {
            let name = name(worst.kind);
            match rng.below(3) {
                0 => format!("The {name} decides; overall the quality is {level}."),
                1 => format!("Apart from the {name} the picture is sound, so the quality is {level}."),
                _ => format!("The {name} weighs most and leaves the picture {level}."),
            }
        }
    };
    grammar::write(&observations, &summary, score)
}

/// The distortion that an answer names, with its severity when the word before it is one. `None` for
/// an answer that names none.
#[must_use]
pub fn named_distortion(text: &str) -> Option<(DistortionKind, Option<Severity>)> {
    let found = |kind| text.find(name(kind)).map(|at| (at, kind));
    let (at, kind) = DistortionKind::ALL.into_iter().filter_map(found).min_by_key(|(at, _)| *at)?;
    let before = text[..at].trim_end();
    let severity = Severity::ALL.into_iter().find(|severity| before.ends_with(severity.word()));
    Some((kind, severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_well_formed_and_names_its_distortion() {
        for kind in DistortionKind::ALL {
            for level in Severity::ALL {
                let text = write(&[Distortion { kind, level }], Score::clamped(2.5).unwrap_or(Score::MIN), 7);
                let response = grammar::parse(&text);
                assert!(response.is_well_formed(), "{text}\n{:?}", response.faults);
                assert_eq!(named_distortion(&text), Some((kind, Some(level))), "{text}");
            }
        }
        let pristine = write(&[], Score::MAX, 7);
        assert!(grammar::parse(&pristine).is_well_formed());
        assert_eq!(named_distortion(&pristine), None);
    }
}
