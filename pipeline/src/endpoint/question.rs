//! What a teacher is asked: a request of the chat completions dialect.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qponder_kernels::pixels::{DecodeError, Header, Limits, probe};
use qponder_shared::api::Sampling;
use serde_json::json;

/// An image file as it is sent: its bytes are not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    bytes: Vec<u8>,
    header: Header,
}

impl Picture {
    /// A PNG, JPEG or WebP file within the limits; its first bytes decide which.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let limits = Limits::default();
        limits.check_bytes(bytes.len())?;
        let header = probe(&bytes)?;
        limits.check_header(&header)?;
        Ok(Self { bytes, header })
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tokens that Qwen2.5-VL makes of it at its published settings: one for 28 by 28 pixels, 4 to 16384.
    /// Other models make other numbers; for an estimate before anything is known it will do.
    #[must_use]
    pub fn estimated_tokens(&self) -> u64 {
        const SIDE: u32 = 28;
        let across = |pixels: u32| u64::from(pixels.div_ceil(SIDE));
        (across(self.header.width) * across(self.header.height)).clamp(4, 16_384)
    }

    /// `data:image/png;base64,…` (RFC 2397).
    fn data_url(&self) -> String {
        format!("data:{};base64,{}", self.header.format.media_type(), STANDARD.encode(&self.bytes))
    }
}

/// A question about one image.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The system turn.
    pub system: &'a str,
    /// What the user turn says after the image.
    pub user: &'a str,
    pub picture: &'a Picture,
    pub sampling: Sampling,
}

impl Question<'_> {
    /// The request's body.
    pub(super) fn body(&self, model: &str, stream: bool) -> String {
        let Sampling { temperature, top_p, seed, max_new_tokens, .. } = self.sampling;
        let mut body = json!({
            "model": model,
            "messages": [
                { "role": "system", "content": self.system },
                { "role": "user", "content": [
                    { "type": "image_url", "image_url": { "url": self.picture.data_url() } },
                    { "type": "text", "text": self.user },
                ] },
            ],
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_new_tokens,
            "seed": seed,
            "stream": stream,
        });
        if stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body.to_string()
    }
}
