//! Installing Debian packages.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use anyhow::{Result, bail};

use super::{Need, as_root};
use crate::process;

/// postgresql-common reads this before it makes a cluster for a newly installed server.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d";

/// How long to wait, in seconds, before each further try to fetch the lists.
const WAITS: [u64; 5] = [5, 15, 30, 60, 120];

/// A package that the lists do not offer, or only in too old a version.
struct Lack {
    need: &'static str,
    package: &'static str,
    oldest: Option<&'static str>,
    otherwise: &'static str,
}

/// Installs the packages of every need, without asking anything.
pub fn install(needs: &[&Need]) -> Result<()> {
    for need in needs {
        eprintln!("setup: installing {} ({}): {}", need.name, need.packages.join(", "), need.reason);
    }
    if let Some(lack) = update(needs)? {
        let version = lack.oldest.map(|oldest| format!(" of version {oldest} or later")).unwrap_or_default();
        bail!("there is no package {}{version} for {}: {}", lack.package, lack.need, lack.otherwise);
    }
    let packages: Vec<&str> = needs.iter().flat_map(|need| need.packages).copied().collect();
    let first_server = packages.contains(&"postgresql") && !Path::new("/etc/postgresql").exists();
    if first_server {
        return without_default_cluster(|| install_packages(&packages));
    }
    install_packages(&packages)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    process::run(apt_get()?.args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

/// Keeps Debian from making and starting a system-wide cluster that nothing here would use. Only the
/// first server on a machine gets one, so clusters that exist are left as they are; the setting goes
/// away again, so that servers installed later behave as usual.
fn without_default_cluster(install: impl FnOnce() -> Result<()>) -> Result<()> {
    install_packages(&["postgresql-common"])?;
    let file = format!("{CLUSTER_SETTINGS}/q-ponder.conf");
    eprintln!("setup: no system-wide database cluster is made ({file}, for the time of this installation)");
    let setting = std::env::temp_dir().join(format!("q-ponder-{}.conf", std::process::id()));
    fs::write(&setting, "create_main_cluster = false\n")?;
    process::run(as_root("mkdir")?.args(["-p", CLUSTER_SETTINGS]))?;
    process::run(as_root("install")?.args(["-m", "644"]).arg(&setting).arg(&file))?;
    let installed = install();
    process::run(as_root("rm")?.arg("-f").arg(&file))?;
    fs::remove_file(&setting)?;
    installed
}

/// Fetches the lists of packages, and names what they lack.
///
/// By itself `apt-get update` succeeds when a list could not be fetched, and leaves an old one in its
/// place. That is no harm where the list has no part in what is needed (a third party's repository
/// that is gone), so only where something is lacking it is tried again.
fn update(needs: &[&Need]) -> Result<Option<Lack>> {
    let mut waits = WAITS.into_iter();
    loop {
        let fetched = process::run(apt_get()?.args(["--option", "APT::Update::Error-Mode=any", "update"]));
        let lack = first_lack(needs);
        let (Some(lacking), Err(error)) = (&lack, fetched) else { return Ok(lack) };
        let Some(seconds) = waits.next() else { return Ok(lack) };
        eprintln!("setup: {error:#}; {} is not to be had yet, trying again in {seconds} s", lacking.package);
        thread::sleep(Duration::from_secs(seconds));
    }
}

/// The first package that the system's lists do not offer as it is needed.
fn first_lack(needs: &[&Need]) -> Option<Lack> {
    let packages = needs.iter().flat_map(|need| need.packages.iter().map(move |package| (need, *package)));
    packages.into_iter().find_map(|(need, package)| {
        let oldest = need.oldest.filter(|(name, _)| *name == package).map(|(_, version)| version);
        let mut policy = Command::new("apt-cache");
        let policy = process::read(policy.env("LC_ALL", "C").args(["policy", package])).unwrap_or_default();
        let offered = candidate(&policy)
            .is_some_and(|version| oldest.is_none_or(|oldest| is_at_least(version, oldest)));
        (!offered).then_some(Lack { need: need.name, package, oldest, otherwise: need.otherwise })
    })
}

/// The version that would be installed, from what `apt-cache policy` prints.
fn candidate(policy: &str) -> Option<&str> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then_some(version)
}

/// Compares as Debian does.
fn is_at_least(version: &str, oldest: &str) -> bool {
    let compared = Command::new("dpkg").args(["--compare-versions", version, "ge", oldest]).status();
    compared.is_ok_and(|status| status.success())
}

fn apt_get() -> Result<Command> {
    // `env` rather than `Command::env`, which sudo would not pass on.
    let mut command = as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    command.args(["--option", "Acquire::Retries=3"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_read_from_a_policy() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(candidate(policy), Some("1.96.0+dfsg1-1~deb12u2"));
        assert_eq!(candidate("ghost:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }
}
