//! Installing Debian packages.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, bail};

use super::{Need, as_root};
use crate::process;

/// postgresql-common reads this before it makes a cluster for a newly installed server.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d";

/// Installs the packages of every need, without asking anything.
pub fn install(needs: &[&Need]) -> Result<()> {
    for need in needs {
        eprintln!("setup: installing {} ({}): {}", need.name, need.packages.join(", "), need.reason);
    }
    process::run(apt_get()?.arg("update"))?;
    if let Some((need, package)) = first_unknown(needs) {
        bail!("there is no package {package} for {}: {}", need.name, need.otherwise);
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

/// The first package that the system's lists do not offer.
fn first_unknown<'a>(needs: &[&'a Need]) -> Option<(&'a Need, &'static str)> {
    let is_unknown = |package: &str| {
        let mut policy = Command::new("apt-cache");
        let candidate =
            process::read(policy.env("LC_ALL", "C").args(["policy", package])).unwrap_or_default();
        candidate.is_empty() || candidate.contains("Candidate: (none)")
    };
    needs.iter().find_map(|need| {
        need.packages.iter().find(|package| is_unknown(package)).map(|package| (*need, *package))
    })
}

fn apt_get() -> Result<Command> {
    // `env` rather than `Command::env`, which sudo would not pass on.
    let mut command = as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    Ok(command)
}
