//! The files that a job made: named by their hash, kept in the object store, and verified when they are read.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use qponder_shared::ArtifactId;
use qponder_shared::job::Artifact;
use sha2::{Digest as _, Sha256};

use crate::store::objects::{Kind, ObjectError, Objects, hash_file};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 20;
/// What a file that is being written ends in.
const UNFINISHED: &str = "part";

/// Why files could not be kept or fetched.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("a file of a job could not be read or written: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error("the file {name} is not in the object store")]
    Gone { name: String },
    #[error("the file {name} is damaged in the object store: its hash is another one")]
    Damaged { name: String },
}

/// The files of a folder that are worth keeping: all but checkpoints, which are for going on alone, and what lies in
/// folders. Blocks.
pub fn made(folder: &Path) -> io::Result<Vec<Artifact>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_kept = !name.starts_with("checkpoint-") && !name.starts_with('.') && !name.ends_with(".lock");
        if !is_kept || !entry.file_type()?.is_file() {
            continue;
        }
        let (sha256, bytes) = hash_file(&entry.path())?;
        files.push(Artifact { id: ArtifactId::new(), name, bytes, sha256 });
    }
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Removes the checkpoints of a folder.
pub fn remove_checkpoints(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("checkpoint-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps the bytes of files of a folder, those that are not kept already.
pub async fn keep(folder: &Path, files: &[Artifact], objects: &Objects) -> Result<(), ArtifactError> {
    for artifact in files {
        if objects.size(Kind::Artifact, &artifact.sha256).await? == Some(artifact.bytes) {
            continue;
        }
        let file = File::open(folder.join(&artifact.name))?;
        send(file, (Kind::Artifact, &artifact.sha256), objects).await?;
    }
    Ok(())
}

/// Writes an object of what a reader gives.
pub async fn send(
    mut from: impl io::Read,
    (kind, sha256): (Kind, &str),
    objects: &Objects,
) -> Result<(), ArtifactError> {
    let mut writer = objects.writer(kind, sha256).await?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(writer.finish().await?);
        }
        writer.write(&buffer[..read]).await?;
    }
}

/// Writes an object, which is of the file `name`, and compares its hash.
pub async fn receive(
    into: &mut impl io::Write,
    (kind, sha256): (Kind, &str),
    name: &str,
    objects: &Objects,
) -> Result<(), ArtifactError> {
    let found = objects.stream(kind, sha256).await?;
    let (_, mut bytes) = found.ok_or_else(|| ArtifactError::Gone { name: name.to_owned() })?;
    let mut hash = Sha256::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(ObjectError::from)?;
        hash.update(&piece);
        into.write_all(&piece)?;
    }
    if format!("{:x}", hash.finalize()) != sha256 {
        return Err(ArtifactError::Damaged { name: name.to_owned() });
    }
    Ok(())
}

/// Writes files into a folder, those that are not there already. The folder has all of them, whole, or there is an
/// error.
pub async fn fetch(folder: &Path, files: &[Artifact], objects: &Objects) -> Result<(), ArtifactError> {
    fs::create_dir_all(folder)?;
    for artifact in files {
        let path = folder.join(&artifact.name);
        if fs::metadata(&path).is_ok_and(|known| known.len() == artifact.bytes) {
            continue;
        }
        fetch_one(&path, artifact, objects).await?;
    }
    Ok(())
}

async fn fetch_one(path: &Path, artifact: &Artifact, objects: &Objects) -> Result<(), ArtifactError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{UNFINISHED}"));
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create(&unfinished)?;
    let received = receive(&mut file, (Kind::Artifact, &artifact.sha256), &artifact.name, objects).await;
    // This waits for the disk, which takes long where the file is large.
    tokio::task::spawn_blocking(move || file.sync_all()).await.map_err(io::Error::other)??;
    if received.is_err() {
        fs::remove_file(&unfinished)?;
        return received;
    }
    Ok(fs::rename(&unfinished, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_come_back_as_they_were_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let (made_in, kept_in, back) =
            (dir.path().join("out"), dir.path().join("objects"), dir.path().join("back"));
        for folder in [&made_in, &kept_in] {
            fs::create_dir(folder).expect("a folder");
        }
        for (name, text) in [("model.safetensors", "weights"), ("checkpoint-00000002.safetensors", "moments")]
        {
            fs::write(made_in.join(name), text).expect("written");
        }
        fs::create_dir(made_in.join("data")).expect("a folder");
        let files = made(&made_in).expect("files");
        assert_eq!(
            files.iter().map(|file| (file.name.as_str(), file.bytes)).collect::<Vec<_>>(),
            [("model.safetensors", 7)]
        );
        let objects = Objects::open(&kept_in).expect("a store");
        keep(&made_in, &files, &objects).await.expect("kept");
        fetch(&back, &files, &objects).await.expect("fetched");
        assert_eq!(fs::read(back.join("model.safetensors")).expect("it is there"), b"weights");
        remove_checkpoints(&made_in).expect("removed");
        assert_eq!(fs::read_dir(&made_in).expect("a folder").count(), 2, "the model and the folder stay");
        // A bit that the disk turned is found.
        let hash = &files[0].sha256;
        fs::write(kept_in.join("artifacts").join(&hash[..2]).join(hash), "weightz").expect("written");
        fs::remove_dir_all(&back).expect("removed");
        let error = fetch(&back, &files, &objects).await.expect_err("it is damaged");
        assert!(error.to_string().contains("model.safetensors is damaged"), "{error}");
        assert!(fs::read_dir(&back).expect("a folder").next().is_none(), "nothing is left of it");
    }
}
