//! Where the system keeps Postgres.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClusterError;

/// The programs of one Postgres installation.
pub struct Binaries {
    /// Makes a cluster.
    pub initdb: PathBuf,
    /// Serves it.
    pub postgres: PathBuf,
}

/// The programs that write a database into a file and read it again.
pub struct Tools {
    /// Writes.
    pub pg_dump: PathBuf,
    /// Reads.
    pub pg_restore: PathBuf,
}

impl Tools {
    /// Those of the installation that serves the cluster of a data directory, or of the newest one.
    ///
    /// # Errors
    /// When there are none.
    pub fn find(data_dir: &Path) -> Result<Self, ClusterError> {
        let version = super::homes(data_dir)
            .iter()
            .find_map(|home| std::fs::read_to_string(home.join("cluster/PG_VERSION")).ok());
        let binaries = find(version.as_deref().map(str::trim)).ok_or(ClusterError::NotInstalled)?;
        let beside = |name: &str| binaries.postgres.with_file_name(name);
        let tools = Self { pg_dump: beside("pg_dump"), pg_restore: beside("pg_restore") };
        match tools.pg_dump.is_file() && tools.pg_restore.is_file() {
            true => Ok(tools),
            false => Err(ClusterError::NotInstalled),
        }
    }
}

impl Binaries {
    fn in_folder(folder: &Path) -> Option<Self> {
        let (initdb, postgres) = (folder.join("initdb"), folder.join("postgres"));
        (initdb.is_file() && postgres.is_file()).then_some(Self { initdb, postgres })
    }
}

/// The installation to use: for a cluster that exists, the one of its major version; otherwise the
/// newest. Debian keeps each version in its own folder, other systems have one on the PATH.
pub fn find(major: Option<&str>) -> Option<Binaries> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let wanted: Option<u32> = major.and_then(|major| major.parse().ok());
    let fits = |major: u32| wanted.is_none_or(|wanted| wanted == major);
    let debian = versions.into_iter().filter(|(major, _)| fits(*major)).map(|(_, folder)| folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path)
        .filter_map(|folder| Binaries::in_folder(&folder))
        .filter(|binaries| major_of(&binaries.postgres).is_some_and(fits));
    debian.filter_map(|folder| Binaries::in_folder(&folder)).chain(elsewhere).next()
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
