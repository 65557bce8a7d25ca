//! Builds the page into `target/web`: what `qponder serve` hands to browsers.
//!
//! `frontend/` holds the sources: the crate, `index.html`, `boot.js`, `style.css` and `icon.svg`. Every
//! file but `index.html` ends up as `/assets/NAME-HASH.EXT`, named after its content, so that a browser
//! may keep it for ever. The two templates name them by placeholders, each replaced by an absolute path:
//!
//! | placeholder | file | in |
//! |---|---|---|
//! | `{{css}}` | `style.css` | `index.html` |
//! | `{{icon}}` | `icon.svg` | `index.html` |
//! | `{{boot}}` | `boot.js` | `index.html` |
//! | `{{js}}` | what wasm-bindgen wrote | `boot.js`, and `index.html` to preload it |
//! | `{{wasm}}` | the app | `boot.js`, and `index.html` to preload it |

mod bundle;
mod inputs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{process, wasm::Toolchain, workspace::Workspace};

/// The largest app that a first visit should have to load, in bytes after brotli.
const APP_LIMIT: usize = 1_000_000;

/// Builds the page, unless the one that is there was built from the same files.
pub fn build(workspace: &Workspace) -> Result<()> {
    let page = workspace.path("target/web");
    let stamp = workspace.path("target/web.inputs");
    let inputs = inputs::hash(workspace)?;
    if page.join("index.html").is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) {
        eprintln!("page: up to date in {}", page.display());
        return Ok(());
    }

    let Some(toolchain) = Toolchain::find() else {
        bail!("no compiler for the page is installed; `cargo xtask up` installs one");
    };
    eprintln!("page: building with {}", toolchain.name());
    require_same_wasm_bindgen(workspace)?;
    let module = compile(workspace, toolchain)?;

    let fresh = workspace.path("target/web.new");
    remove_folder(&fresh)?;
    let sizes = bundle::write(&workspace.path("frontend"), &module, &fresh)?;
    eprintln!("page: the app is {} bytes, {} after brotli", sizes.plain, sizes.brotli);
    if sizes.brotli > APP_LIMIT {
        bail!("the page's app is {} bytes after brotli, and the limit is {APP_LIMIT}", sizes.brotli);
    }
    replace_folder(&fresh, &page)?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
    eprintln!("page: ready in {}", page.display());
    Ok(())
}

/// Compiles the app and returns the path of the raw module.
fn compile(workspace: &Workspace, toolchain: Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(workspace.root(), "build");
    process::run(cargo.args(["-p", "qponder-frontend", "--profile", "wasm"]))?;
    let built = crate::wasm::target_dir(workspace.root())
        .join(crate::wasm::TARGET)
        .join("wasm/qponder-frontend.wasm");
    if process::find_program("wasm-opt").is_none() {
        return Ok(built);
    }
    optimise(&built)
}

/// Shrinks the module further where Binaryen happens to be installed, with the features rustc uses.
fn optimise(module: &Path) -> Result<PathBuf> {
    let smaller = module.with_extension("opt.wasm");
    let features = [
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
    ];
    let mut wasm_opt = Command::new("wasm-opt");
    // wasm-bindgen reads the custom sections and the name section afterwards: keep them.
    wasm_opt.args(["-Oz", "-g"]).args(features).arg(module).arg("-o").arg(&smaller);
    match process::run(&mut wasm_opt) {
        Ok(()) => Ok(smaller),
        Err(error) => {
            eprintln!("page: left as the compiler made it, since {error:#}");
            Ok(module.to_path_buf())
        }
    }
}

/// The generator and the crate in the app speak a private protocol that changes with every version.
fn require_same_wasm_bindgen(workspace: &Workspace) -> Result<()> {
    let generator = workspace.locked_version("wasm-bindgen-cli-support")?;
    let library = workspace.locked_version("wasm-bindgen")?;
    if let (Some(generator), Some(library)) = (generator, library)
        && generator != library
    {
        bail!(
            "wasm-bindgen is {library} but xtask pins wasm-bindgen-cli-support {generator}: make them equal"
        );
    }
    Ok(())
}

/// Puts a finished folder in place of an older one; no reader ever finds a half-written page.
fn replace_folder(fresh: &Path, place: &Path) -> Result<()> {
    let old = place.with_extension("old");
    remove_folder(&old)?;
    if place.exists() {
        fs::rename(place, &old).with_context(|| format!("cannot move {} aside", place.display()))?;
    }
    fs::rename(fresh, place).with_context(|| format!("cannot move {} into place", fresh.display()))?;
    remove_folder(&old)
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
