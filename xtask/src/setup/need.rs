//! The things that this repository needs from the system, and how to tell that they are there.

use std::{fs, path::Path};

use crate::{
    process::find_program,
    wasm::{DEBIAN_PACKAGES, OLDEST_COMPILER, Toolchain},
};

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// What it is called.
    pub name: &'static str,
    /// What it is for.
    pub reason: &'static str,
    /// The Debian packages that bring it.
    pub packages: &'static [&'static str],
    /// The one of them that may be too old to be of use, and the oldest version that is.
    pub oldest: Option<(&'static str, &'static str)>,
    /// What to do where those packages do not exist.
    pub otherwise: &'static str,
    present: fn() -> bool,
}

impl Need {
    /// Whether the machine has it.
    pub fn is_present(&self) -> bool {
        (self.present)()
    }

    /// Whether this is the other one.
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The C and C++ compilers.
pub const COMPILER: Need = Need {
    name: "C compiler",
    reason: "links every binary and builds the tokenizer's regular expressions",
    packages: &["build-essential"],
    oldest: None,
    otherwise: "install gcc, g++ and make",
    present: || ["cc", "c++", "make"].iter().all(|program| find_program(program).is_some()),
};

/// pkg-config.
pub const PKG_CONFIG: Need = Need {
    name: "pkg-config",
    reason: "lets build scripts find system libraries",
    packages: &["pkg-config"],
    oldest: None,
    otherwise: "install pkg-config or pkgconf",
    present: || find_program("pkg-config").is_some(),
};

/// PostgreSQL's programs, from which the server makes a private cluster.
pub const POSTGRES: Need = Need {
    name: "PostgreSQL",
    reason: "the server runs a private cluster under its data folder",
    packages: &["postgresql"],
    oldest: None,
    otherwise: "install the PostgreSQL server, 13 or later, or pass --database-url to `qponder serve`",
    present: has_postgres,
};

/// A Rust compiler with a standard library for WebAssembly.
pub const PAGE_COMPILER: Need = Need {
    name: "WebAssembly compiler",
    reason: "builds the page",
    packages: DEBIAN_PACKAGES,
    oldest: Some(("rustc-web", OLDEST_COMPILER)),
    otherwise: "run `rustup target add wasm32-unknown-unknown`",
    present: || Toolchain::find().is_some(),
};

/// Chromium and its WebDriver.
pub const CHROMIUM: Need = Need {
    name: "Chromium",
    reason: "the browser tests drive it",
    packages: &["chromium", "chromium-driver"],
    oldest: None,
    otherwise: "install Chromium or Chrome with its chromedriver, or pass --no-browser",
    present: has_chromium,
};

/// A Vulkan driver; Mesa's runs on the processor where there is no graphics card.
pub const VULKAN: Need = Need {
    name: "Vulkan driver",
    reason: "the tests of the kernels for graphics cards run on it",
    packages: &["mesa-vulkan-drivers"],
    oldest: None,
    otherwise: "install the driver of your graphics card, or Mesa's lavapipe",
    present: has_vulkan,
};

fn has_vulkan() -> bool {
    // Where the loader looks for drivers; macOS brings Metal instead.
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let holds_files = |folder| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some());
    cfg!(target_os = "macos") || folders.into_iter().any(holds_files)
}

fn has_postgres() -> bool {
    if find_program("initdb").is_some() && find_program("pg_ctl").is_some() {
        return true;
    }
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return false };
    versions.flatten().any(|version| version.path().join("bin/initdb").is_file())
}

fn has_chromium() -> bool {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let driver =
        find_program("chromedriver").is_some() || Path::new("/usr/lib/chromium/chromedriver").is_file();
    driver && browsers.iter().any(|browser| find_program(browser).is_some())
}
