//! A CUDA toolkit to build with: the machine's own, or the parts of one that NVIDIA publishes on PyPI.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// The compiler, headers and libraries. 13.0 runs on drivers from 580 on.
const WHEELS: [&str; 8] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-curand==10.4.0.35",
    "nvidia-cublas==13.0.2.14",
];

/// A toolkit's folder: `bin`, `include`, `nvvm`, `lib64`.
#[derive(Debug)]
pub struct Toolkit {
    root: PathBuf,
}

impl Toolkit {
    /// The toolkit that `CUDA_HOME` or `nvcc` on `PATH` names, or else the one in `target/cuda`, which is
    /// fetched by the first call.
    pub fn prepare(workspace: &Workspace) -> Result<Self> {
        let installed = std::env::var_os("CUDA_HOME").map(PathBuf::from).or_else(|| {
            let nvcc = process::find_program("nvcc")?.canonicalize().ok()?;
            Some(nvcc.parent()?.parent()?.to_owned())
        });
        if let Some(root) = installed {
            eprintln!("cuda: using the toolkit in {}", root.display());
            return Ok(Self { root });
        }
        let home = workspace.target().join("cuda");
        let root = home.join("toolkit");
        let stamp = home.join("toolkit.installed");
        let wanted = WHEELS.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(Self { root });
        }
        let site = fetch(&home)?;
        lay_out(&site.join("nvidia/cu13"), &root)?;
        stub_driver(workspace, &root)?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(Self { root })
    }

    /// Lets a command find the toolkit, to build and to run.
    pub fn environment(&self, command: &mut Command) {
        for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"] {
            command.env(name, &self.root);
        }
        let mut paths = vec![self.root.join("bin")];
        paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        if let Ok(paths) = std::env::join_paths(paths) {
            command.env("PATH", paths);
        }
        command.env("LD_LIBRARY_PATH", self.libraries());
    }

    /// Where the libraries lie that the program loads.
    pub fn libraries(&self) -> PathBuf {
        self.root.join("lib64")
    }
}

/// Installs the wheels into a folder of their own.
fn fetch(home: &Path) -> Result<PathBuf> {
    if process::find_program("python3").is_none() {
        bail!("python3 is not installed, and there is no CUDA toolkit (set CUDA_HOME, or put nvcc on PATH)");
    }
    eprintln!("cuda: fetching the compiler and libraries, about 700 MB, into {}", home.display());
    let python = home.join("python");
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&python))
        .context("python3 cannot make an environment (on Debian, install python3-venv)")?;
    let site = home.join("site");
    let mut pip = Command::new(python.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]);
    process::run(pip.arg(&site).args(WHEELS))?;
    Ok(site)
}

/// Makes of the wheels' layout the one that build scripts look for, with unversioned names of libraries.
fn lay_out(wheels: &Path, root: &Path) -> Result<()> {
    let (from, libraries) = (wheels.join("lib"), root.join("lib64"));
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    fs::create_dir_all(libraries.join("stubs"))?;
    for part in ["bin", "include", "nvvm"] {
        symlink(wheels.join(part), root.join(part)).with_context(|| format!("cannot link {part}"))?;
    }
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        symlink(entry.path(), libraries.join(&name))?;
        let unversioned = name.split_once(".so.").map(|(stem, _)| format!("{stem}.so"));
        if let Some(unversioned) = unversioned.filter(|name| !libraries.join(name).exists()) {
            symlink(entry.path(), libraries.join(unversioned))?;
        }
    }
    Ok(())
}

/// Makes a library with the driver's names and nothing behind them. It is linked against and never run: the
/// real one belongs to the GPU's driver, and cannot be had without.
fn stub_driver(workspace: &Workspace, root: &Path) -> Result<()> {
    let mut metadata = process::cargo(workspace.root());
    metadata.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata = process::read(metadata.args(["--features", "qponder-server/cuda"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let cudarc =
        packages.iter().find(|package| package["name"] == "cudarc").context("cudarc is no dependency")?;
    let manifest = cudarc["manifest_path"].as_str().context("cudarc has no manifest")?;
    let bindings = Path::new(manifest).with_file_name("src/driver/sys/mod.rs");
    let text =
        fs::read_to_string(&bindings).with_context(|| format!("cannot read {}", bindings.display()))?;
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub unsafe fn ")?.split(['(', '<']).next())
        .filter(|name| name.starts_with("cu"))
        .collect();
    if names.is_empty() {
        bail!("{} names no function of the driver", bindings.display());
    }
    let source = root.join("libcuda.c");
    let code: String = names.iter().map(|name| format!("void {name}(void) {{}}\n")).collect();
    fs::write(&source, code)?;
    let library = root.join("lib64/stubs/libcuda.so");
    process::run(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"])
            .arg(&library)
            .arg(&source),
    )?;
    // Where the linker looks; at run time the driver's own comes first, since this name has no version.
    symlink(&library, root.join("lib64/libcuda.so")).context("cannot link libcuda.so")
}
