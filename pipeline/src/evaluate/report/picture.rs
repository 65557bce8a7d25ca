//! Small pictures within the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qponder_kernels::pixels::{Filter, encode_png, fit_within, resize};

use super::super::{Case, EvaluateError};

/// Longer side of a picture in pixels.
const LONGEST: usize = 240;

/// A picture as a data URL, with its size as shown.
pub(super) struct Picture {
    pub(super) url: String,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Picture {
    /// The case's image, shrunk where it is larger; a PNG, so that no other compression is judged with it.
    pub(super) fn of(case: &Case) -> Result<Self, EvaluateError> {
        let image = case.item.image()?;
        let (width, height) = fit_within(image.width(), image.height(), LONGEST);
        let png = encode_png(&resize(&image, width, height, Filter::Bicubic)).map_err(|error| {
            EvaluateError::Picture { id: case.item.row.id.clone(), reason: error.to_string() }
        })?;
        Ok(Self { url: format!("data:image/png;base64,{}", STANDARD.encode(&png)), width, height })
    }
}
