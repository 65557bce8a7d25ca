//! Small pictures within the page.

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
        Ok(Self { url: format!("data:image/png;base64,{}", base64(&png)), width, height })
    }
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let is_padding = place > chunk.len();
            let letter = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            out.push(if is_padding { '=' } else { char::from(letter) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in vectors.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), expected);
        }
        assert_eq!(base64(&[0xFB, 0xFF, 0xFE]), "+//+");
    }
}
