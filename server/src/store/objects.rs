//! Bytes by content: originals, thumbnails and renderings, under the SHA-256 of the original.
//!
//! They lie in a directory or in a bucket that speaks S3. An object appears whole or not at all (in a directory by a
//! temporary file, fsync and rename) and never changes, so a reader needs no lock. Rows point here; an object that no
//! row names is rubbish, never harm.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart};
use sha2::{Digest, Sha256};

/// Pieces of one object that are written at the same time.
const WRITES_AT_ONCE: usize = 4;
/// How often a request to a bucket is made again, and for how long.
const RETRIES: usize = 5;
const RETRIED_FOR: Duration = Duration::from_secs(30);
/// How long a bucket may take to take up a connection.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The uploaded file, byte for byte.
    Original,
    /// A small JPEG for galleries.
    Thumbnail,
    /// A lossless PNG of the decoded pixels.
    Rendering,
    /// A file that was exported, under the id of its transfer.
    Export,
    /// A file that a job made.
    Artifact,
    /// A piece of what a job under way can go on from.
    Checkpoint,
}

/// Bytes could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("object store: {0}")]
pub struct ObjectError(#[from] object_store::Error);

/// Where an object store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Directory(PathBuf),
    /// A bucket, and what the keys of all objects in it begin with.
    S3 {
        bucket: String,
        prefix: String,
    },
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme != "s3" || bucket.is_empty() {
            return Err(format!("{text:?} is neither a directory nor s3://BUCKET or s3://BUCKET/PREFIX"));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => write!(f, "{}", directory.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// The object store.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    is_remote: bool,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Original, Kind::Thumbnail, Kind::Rendering, Kind::Export, Kind::Artifact, Kind::Checkpoint];

    /// Its folder, which is also what people call it.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Original => "originals",
            Kind::Thumbnail => "thumbnails",
            Kind::Rendering => "renderings",
            Kind::Export => "exports",
            Kind::Artifact => "artifacts",
            Kind::Checkpoint => "checkpoints",
        }
    }
}

impl Objects {
    /// The store in a local directory, which must exist.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(directory: &Path) -> Result<Self, ObjectError> {
        let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), is_remote: false })
    }

    /// The store at a location, after a look whether it can be written to. Keys, region and address of a bucket come
    /// from the variables that S3's own programs read: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
    /// `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// When it cannot be reached, or nothing can be written.
    pub async fn connect(location: &Location) -> Result<Self, ObjectError> {
        let (bucket, prefix) = match location {
            Location::Directory(directory) => return Self::open(directory),
            Location::S3 { bucket, prefix } => (bucket, prefix),
        };
        // Only the first call in a process decides; all of them say the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retries =
            RetryConfig { max_retries: RETRIES, retry_timeout: RETRIED_FOR, ..RetryConfig::default() };
        let options = ClientOptions::new().with_allow_http(true).with_connect_timeout(CONNECTED_WITHIN);
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_retry(retries)
            .build()?;
        let objects = Self { store: Arc::new(PrefixStore::new(store, prefix.as_str())), is_remote: true };
        objects.probe().await?;
        Ok(objects)
    }

    /// Whether it is on no disk of this machine, so that workers elsewhere share it and nothing else.
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Writes an object. Returns when it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written; then it is not there.
    pub async fn put(&self, kind: Kind, sha256: &str, bytes: Bytes) -> Result<(), ObjectError> {
        self.store.put(&key(kind, sha256), bytes.into()).await?;
        Ok(())
    }

    /// Reads an object; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, kind: Kind, sha256: &str) -> Result<Option<Bytes>, ObjectError> {
        match self.store.get(&key(kind, sha256)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Begins to write a large object piece by piece. It is there when the writer has finished.
    ///
    /// # Errors
    /// When it cannot be begun.
    pub async fn writer(&self, kind: Kind, name: &str) -> Result<Writer, ObjectError> {
        let upload = self.store.put_multipart(&key(kind, name)).await?;
        Ok(Writer { pieces: WriteMultipart::new(upload) })
    }

    /// Reads an object as it comes, with its size in bytes; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stream(
        &self,
        kind: Kind,
        name: &str,
    ) -> Result<Option<(u64, BoxStream<'static, object_store::Result<Bytes>>)>, ObjectError> {
        match self.store.get(&key(kind, name)).await {
            Ok(found) => Ok(Some((found.meta.size, found.into_stream()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of an object in bytes; `None` when it is not there.
    ///
    /// # Errors
    /// When the store cannot say.
    pub async fn size(&self, kind: Kind, name: &str) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&key(kind, name)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names and sizes of all objects of a kind, as they are found.
    pub fn list(&self, kind: Kind) -> impl Stream<Item = Result<(String, u64), ObjectError>> {
        self.store.list(Some(&Key::from(kind.folder()))).map(|found| {
            let found = found?;
            Ok((found.location.filename().unwrap_or_default().to_owned(), found.size))
        })
    }

    /// Writes a small object and deletes it, to see that both can be done.
    ///
    /// # Errors
    /// When one of them cannot.
    pub async fn probe(&self) -> Result<(), ObjectError> {
        let probe = Key::from_iter(["probe", "health"]);
        self.store.put(&probe, Bytes::from_static(b"probe").into()).await?;
        self.store.delete(&probe).await?;
        Ok(())
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// When it is there still.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), ObjectError> {
        match self.store.delete(&key(kind, name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes everything kept under a hash. What cannot be deleted is logged and left: no row
    /// names it any more.
    pub async fn delete_all(&self, sha256: &str) {
        for kind in [Kind::Rendering, Kind::Thumbnail, Kind::Original] {
            match self.store.delete(&key(kind, sha256)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, sha256, ?kind, "an object could not be deleted"),
            }
        }
    }
}

/// Writes one object. Dropped before it has finished it leaves nothing.
pub struct Writer {
    pieces: WriteMultipart,
}

impl Writer {
    /// Writes the next bytes, waiting when the store is slower.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.pieces.wait_for_capacity(WRITES_AT_ONCE).await?;
        self.pieces.write(bytes);
        Ok(())
    }

    /// Ends the object, which is there then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish(self) -> Result<(), ObjectError> {
        self.pieces.finish().await?;
        Ok(())
    }
}

/// Two levels of folders, so that none grows to a million entries.
fn key(kind: Kind, sha256: &str) -> Key {
    let shard = sha256.get(..2).unwrap_or("__");
    Key::from_iter([kind.folder(), shard, sha256])
}

/// The SHA-256 of bytes in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The SHA-256 of a file in lower-case hex, and its length in bytes. Blocks.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((format!("{:x}", hash.finalize()), bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_directories_or_buckets() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (text, location) in [
            ("data/objects", Location::Directory("data/objects".into())),
            ("s3://photos", s3("photos", "")),
            ("s3://photos/", s3("photos", "")),
            ("s3://photos/team/one/", s3("photos", "team/one")),
        ] {
            assert_eq!(text.parse(), Ok(location), "{text}");
        }
        for text in ["s3://", "s3:///prefix", "gs://photos", "https://photos.example"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
