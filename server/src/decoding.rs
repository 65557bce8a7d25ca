//! Decoding beside the web: on threads of their own, a few at a time, within limits.
//!
//! What a decoder may do is decided in `kernels`; here is how many run at once, so that hostile
//! uploads cost time and never all the memory.

use std::sync::Arc;

use bytes::Bytes;
use qponder_kernels::pixels::{self, DecodeError, Decoded, EncodeError, Limits, RgbImage};
use tokio::sync::Semaphore;

/// Longest side of a thumbnail in pixels.
const THUMBNAIL: usize = 320;

/// Why there are no pixels.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file itself.
    #[error(transparent)]
    File(#[from] DecodeError),
    /// Its pixels could not be written in another format.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The work was cut off: a defect, or the server stops.
    #[error("decoding did not end: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

/// What is known of a file once it was decoded.
pub struct Examined {
    /// `png`, `jpeg` or `webp`.
    pub format: &'static str,
    /// Size in pixels, upright.
    pub width: usize,
    /// Size in pixels, upright.
    pub height: usize,
    /// A small JPEG.
    pub thumbnail: Vec<u8>,
}

/// Decodes without holding up the web.
#[derive(Clone)]
pub struct Decoder {
    places: Arc<Semaphore>,
}

impl Decoder {
    /// One decoder a core, at most four: each may hold [`Limits::max_memory`].
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { places: Arc::new(Semaphore::new(cores.min(4))) }
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn decode(&self, bytes: Bytes) -> Result<Decoded, Refusal> {
        self.run(move || decode(&bytes)).await
    }

    /// Decodes a file that is about to be stored, and makes its thumbnail.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn examine(&self, bytes: Bytes) -> Result<Examined, Refusal> {
        self.run(move || {
            let Decoded { image, format, .. } = decode(&bytes)?;
            let thumbnail = thumbnail(&image)?;
            Ok(Examined { format: format.name(), width: image.width(), height: image.height(), thumbnail })
        })
        .await
    }

    /// The thumbnail of a file, as a JPEG.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn thumbnail(&self, bytes: Bytes) -> Result<Vec<u8>, Refusal> {
        self.run(move || thumbnail(&decode(&bytes)?.image)).await
    }

    /// The pixels of a file as a lossless PNG.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn rendering(&self, bytes: Bytes) -> Result<Vec<u8>, Refusal> {
        self.run(move || Ok(pixels::encode_png(&decode(&bytes)?.image)?)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        // Nobody closes the semaphore, so there is always a place to come.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let done = tokio::task::spawn_blocking(move || {
            // Kept until the work ends, even when nobody waits for it any more.
            let _place = place;
            work()
        });
        done.await?
    }
}

/// The limits of every file.
pub fn limits() -> Limits {
    Limits::default()
}

/// Decodes a file on this thread.
///
/// # Errors
/// What is wrong with it.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Refusal> {
    Ok(pixels::decode(bytes, &limits())?)
}

fn thumbnail(image: &RgbImage) -> Result<Vec<u8>, Refusal> {
    Ok(pixels::thumbnail_jpeg(image, THUMBNAIL)?)
}
