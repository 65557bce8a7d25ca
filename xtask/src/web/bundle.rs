//! From a compiled module to the files of the page: bindings, content names, compressed copies.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use qponder_shared::weights::Manifest;
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// How large a module is.
pub struct Size {
    /// As the browser runs it.
    pub plain: usize,
    /// As it travels.
    pub brotli: usize,
}

/// What a page is made from.
pub struct Sources<'a> {
    pub frontend: &'a Path,
    /// The app, as the compiler made it.
    pub app: &'a Path,
    /// The engine of the page *Quick score*.
    pub engine: &'a Path,
    /// The folder of the model that it runs: GGUF files and their manifest.
    pub weights: &'a Path,
}

/// Writes the whole page into the new folder `page`; returns the sizes of the app and of the engine.
pub fn write(sources: &Sources, page: &Path) -> Result<[Size; 2]> {
    let frontend = sources.frontend;
    let assets = page.join("assets");
    fs::create_dir_all(&assets).with_context(|| format!("cannot create {}", assets.display()))?;
    let (app_script, app) = bind(sources.app, "app", &assets)?;
    let (engine_script, engine) = bind(sources.engine, "engine", &assets)?;

    let mut names = vec![
        ("{{css}}", add(&assets, "style", "css", &source(frontend, "style.css")?)?),
        ("{{icon}}", add(&assets, "icon", "svg", &source(frontend, "icon.svg")?)?),
        ("{{js}}", add(&assets, "app", "js", &app_script)?),
        ("{{wasm}}", add(&assets, "app", "wasm", &app)?),
        ("{{engine_js}}", add(&assets, "engine", "js", &engine_script)?),
        ("{{engine_wasm}}", add(&assets, "engine", "wasm", &engine)?),
        ("{{weights}}", add_weights(&assets, sources.weights)?),
    ];
    for (placeholder, file, stem, extension, required) in [
        ("{{boot}}", "boot.js", "boot", "js", &["{{js}}", "{{wasm}}"][..]),
        ("{{manifest}}", "app.webmanifest", "app", "webmanifest", &["{{icon}}"]),
        ("{{quick}}", "quick.js", "quick", "js", &["{{engine_js}}", "{{engine_wasm}}", "{{weights}}"]),
    ] {
        let content = fill(frontend, file, &names, required)?;
        names.push((placeholder, add(&assets, stem, extension, content.as_bytes())?));
    }
    let used = ["{{css}}", "{{icon}}", "{{boot}}", "{{manifest}}", "{{quick}}"];
    let index = fill(frontend, "index.html", &names, &used)?;
    write_file(&page.join("index.html"), index.as_bytes())?;
    write_offline(frontend, page, &index, &names)?;

    let mut sizes = Vec::new();
    for file in files_below(page)? {
        // Weights are as dense as they get.
        if file.extension().is_some_and(|extension| extension != "bin") {
            sizes.push((file.clone(), compress(&file)?));
        }
    }
    let brotli = |placeholder: &str| {
        let path = names.iter().find(|(known, _)| *known == placeholder).map_or("", |(_, path)| path);
        sizes
            .iter()
            .find(|(file, _)| file.ends_with(path.trim_start_matches('/')))
            .map_or(0, |(_, size)| *size)
    };
    Ok([
        Size { plain: app.len(), brotli: brotli("{{wasm}}") },
        Size { plain: engine.len(), brotli: brotli("{{engine_wasm}}") },
    ])
}

/// The service worker, which must lie at the root, with all files that the page *Quick score* needs but the
/// weights: the engine keeps those itself.
fn write_offline(frontend: &Path, page: &Path, index: &str, names: &[(&str, String)]) -> Result<()> {
    let files: Vec<&str> = ["/"].into_iter().chain(names.iter().map(|(_, path)| path.as_str())).collect();
    let version = hex(&Sha256::digest(index)[..8]);
    let values = [("{{files}}", format!("{files:?}")), ("{{version}}", version)];
    let script = fill(frontend, "offline.js", &values, &["{{files}}", "{{version}}"])?;
    write_file(&page.join("offline.js"), script.as_bytes())
}

/// Cuts a model's files into the pieces that its manifest lists; returns the path of the manifest.
fn add_weights(assets: &Path, folder: &Path) -> Result<String> {
    let text = source(folder, "manifest.json")?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged", folder.join("manifest.json").display()))?;
    for file in &manifest.files {
        let bytes = source(folder, &file.name)?;
        let mut rest = bytes.as_slice();
        for shard in &file.shards {
            let piece = usize::try_from(shard.bytes).ok().and_then(|length| rest.split_at_checked(length));
            let Some((piece, others)) = piece else {
                bail!("{} is shorter than its manifest says", file.name)
            };
            if hex(&Sha256::digest(piece)) != shard.sha256 {
                bail!("{} is not what its manifest says: export it again", file.name);
            }
            write_file(&assets.join(shard.asset()), piece)?;
            rest = others;
        }
    }
    add(assets, "weights", "json", &text)
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs wasm-bindgen: returns the script and the module, and leaves the snippets that the script
/// imports from `./snippets` beside it.
fn bind(module: &Path, name: &str, assets: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).typescript(false).remove_name_section(true);
    bindgen.remove_producers_section(true).omit_default_module_path(true).web(true)?;
    bindgen.generate(assets).with_context(|| format!("wasm-bindgen cannot read {}", module.display()))?;
    Ok((take(&assets.join(format!("{name}.js")))?, take(&assets.join(format!("{name}_bg.wasm")))?))
}

/// Reads a file and removes it: it goes on under the name of its content.
fn take(path: &Path) -> Result<Vec<u8>> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(content)
}

fn source(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes an asset and returns the path under which a browser asks for it.
fn add(assets: &Path, stem: &str, extension: &str, content: &[u8]) -> Result<String> {
    let hash = hex(&Sha256::digest(content)[..8]);
    let name = format!("{stem}-{hash}.{extension}");
    fs::write(assets.join(&name), content).with_context(|| format!("cannot write {name}"))?;
    Ok(format!("/assets/{name}"))
}

/// Fills a template's placeholders in; those of `required` must be there, and none may be left over.
fn fill(frontend: &Path, name: &str, values: &[(&str, String)], required: &[&str]) -> Result<String> {
    let template =
        String::from_utf8(source(frontend, name)?).with_context(|| format!("{name} is not UTF-8"))?;
    if let Some(missing) = required.iter().find(|placeholder| !template.contains(**placeholder)) {
        bail!("frontend/{name} has no {missing}; xtask/src/web/mod.rs lists the placeholders");
    }
    // The values are absolute paths: with a slash before them they would name another host.
    if template.contains("/{{") {
        bail!("frontend/{name} has a slash before a placeholder, whose value already begins with one");
    }
    let filled = values.iter().fold(template, |text, (placeholder, path)| text.replace(placeholder, path));
    if let Some(start) = filled.find("{{") {
        let unknown: String = filled[start..].chars().take(16).collect();
        bail!("frontend/{name} has an unknown placeholder: {unknown}");
    }
    Ok(filled)
}

/// Writes `.br` and `.gz` beside a file, and returns the size of the first.
fn compress(file: &Path) -> Result<usize> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut brotli = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut content.as_slice(), &mut brotli, &parameters)
        .with_context(|| format!("cannot compress {}", file.display()))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&content)?;
    for (suffix, compressed) in [("br", &brotli), ("gz", &gzip.finish()?)] {
        let mut path = file.as_os_str().to_owned();
        path.push(".");
        path.push(suffix);
        fs::write(&path, compressed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(brotli.len())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}
