//! Builds the page into `target/web`: what `qponder serve` hands to browsers.
//!
//! `frontend/` holds the sources: the crate, `index.html`, scripts, `style.css` and `icon.svg`. The engine
//! of the page *Quick score* is a module of its own, made from `kernels`, and its model comes from `models`:
//! other pages load neither. Every file but `index.html` and the service worker `offline.js` ends up as
//! `/assets/NAME-HASH.EXT`, named after its content, so that a browser may keep it for ever. Templates name
//! them by placeholders, each replaced by an absolute path:
//!
//! | placeholder | file | in |
//! |---|---|---|
//! | `{{css}}` | `style.css` | `index.html` |
//! | `{{icon}}` | `icon.svg` | `index.html` |
//! | `{{boot}}` | `boot.js` | `index.html` |
//! | `{{js}}` | what wasm-bindgen wrote | `boot.js`, and `index.html` to preload it |
//! | `{{wasm}}` | the app | `boot.js`, and `index.html` to preload it |
//! | `{{manifest}}` | `app.webmanifest`, which makes the page installable | `index.html` |
//! | `{{quick}}` | `quick.js`, which starts the engine in a worker | `index.html` |
//! | `{{engine_js}}`, `{{engine_wasm}}` | the engine | `quick.js` |
//! | `{{weights}}` | the manifest of the model's pieces | `quick.js` |
//! | `{{files}}`, `{{version}}` | a list of all these, and a hash of it | `offline.js` |

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

/// The largest engine that the page *Quick score* should have to load, in bytes after brotli.
const ENGINE_LIMIT: usize = 800_000;

/// The model that the page *Quick score* runs.
const WEIGHTS: &str = "models/nano-rl/q8_0";

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
    let app = compile_app(workspace, toolchain)?;
    let engine = compile_engine(workspace, toolchain)?;

    let fresh = workspace.path("target/web.new");
    remove_folder(&fresh)?;
    let sources = bundle::Sources {
        frontend: &workspace.path("frontend"),
        app: &app,
        engine: &engine,
        weights: &workspace.path(WEIGHTS),
    };
    let sizes = bundle::write(&sources, &fresh)?;
    for (size, name, limit) in [(&sizes[0], "app", APP_LIMIT), (&sizes[1], "engine", ENGINE_LIMIT)] {
        eprintln!("page: the {name} is {} bytes, {} after brotli", size.plain, size.brotli);
        if size.brotli > limit {
            bail!("the page's {name} is {} bytes after brotli, and the limit is {limit}", size.brotli);
        }
    }
    replace_folder(&fresh, &page)?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))?;
    eprintln!("page: ready in {}", page.display());
    Ok(())
}

/// Compiles the app and returns the path of the raw module.
fn compile_app(workspace: &Workspace, toolchain: Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(workspace.root(), "build");
    process::run(cargo.args(["-p", "qponder-frontend", "--profile", "wasm"]))?;
    finish(workspace, "qponder-frontend.wasm")
}

/// Compiles the engine, its own loops with SIMD, and returns the path of the raw module.
fn compile_engine(workspace: &Workspace, toolchain: Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(workspace.root(), "rustc");
    cargo.args(["-p", "qponder-kernels", "--lib", "--crate-type", "cdylib", "--features", "web"]);
    process::run(cargo.args(["--profile", "wasm", "--", "-C", "target-feature=+simd128"]))?;
    finish(workspace, "qponder_kernels.wasm")
}

/// The compiled module, smaller where the tool for that is there.
fn finish(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let built = crate::wasm::target_dir(workspace.root()).join(crate::wasm::TARGET).join("wasm").join(name);
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
        "--enable-simd",
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
