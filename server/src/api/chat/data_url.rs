//! `data:` URLs with base64 (RFC 2397, RFC 4648): the one way in which an image comes with a question.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The bytes of a `data:` URL. What media type it claims is not asked: the bytes say what they are.
///
/// # Errors
/// What is wrong with it, and what to send instead.
pub(super) fn read(url: &str) -> Result<Vec<u8>, &'static str> {
    let Some(rest) = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])
    else {
        return Err(
            "only data: URLs are read; an address is never fetched, so send the image itself in base64",
        );
    };
    let Some((kind, data)) = rest.split_once(',') else {
        return Err("the data: URL has no comma; it must be data:image/png;base64,... or the like");
    };
    if !kind.trim_end().to_ascii_lowercase().ends_with(";base64") {
        return Err("the data: URL must be in base64: data:image/png;base64,... or the like");
    }
    base64(data).ok_or("the image's base64 is damaged")
}

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads base64, of the standard or the URL alphabet, with or without padding; line ends are skipped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let plain = |digit| match digit {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let digits = text.trim_end().bytes().filter(|digit| !matches!(digit, b'\r' | b'\n')).map(plain);
    BASE64.decode(digits.collect::<Vec<u8>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_base64_is_read() {
        for (url, bytes) in [
            ("data:image/png;base64,", Some(&b""[..])),
            ("data:image/png;base64,Zg==", Some(b"f")),
            ("data:;base64,Zm8", Some(b"fo")),
            ("DATA:image/jpeg;charset=x;BASE64,Zm9v\r\nYmFy\n", Some(b"foobar")),
            ("data:image/png;base64,-_-_", Some(&[0xfb, 0xff, 0xbf])),
            ("data:image/png;base64,Z", None),
            ("data:image/png;base64,Zh==", None),
            ("data:image/png;base64,Zm9v!", None),
            ("data:image/png,Zm9v", None),
            ("data:image/png;base64", None),
            ("https://example.com/a.png", None),
            ("file:///etc/passwd", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(read(url).ok().as_deref(), bytes, "{url}");
        }
    }
}
