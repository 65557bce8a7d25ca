//! From a compiled module to the files of the page: bindings, content names, compressed copies.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// How large the app is.
pub struct AppSize {
    /// As the browser runs it.
    pub plain: usize,
    /// As it travels.
    pub brotli: usize,
}

/// Writes the whole page into the new folder `page`.
pub fn write(frontend: &Path, module: &Path, page: &Path) -> Result<AppSize> {
    let assets = page.join("assets");
    fs::create_dir_all(&assets).with_context(|| format!("cannot create {}", assets.display()))?;
    let (script, app) = bind(module, &assets)?;

    let mut names = vec![
        ("{{css}}", add(&assets, "style", "css", &source(frontend, "style.css")?)?),
        ("{{icon}}", add(&assets, "icon", "svg", &source(frontend, "icon.svg")?)?),
        ("{{js}}", add(&assets, "app", "js", &script)?),
        ("{{wasm}}", add(&assets, "app", "wasm", &app)?),
    ];
    let boot = fill(frontend, "boot.js", &names, &["{{js}}", "{{wasm}}"])?;
    names.push(("{{boot}}", add(&assets, "boot", "js", boot.as_bytes())?));
    let index = fill(frontend, "index.html", &names, &["{{css}}", "{{icon}}", "{{boot}}"])?;
    let index_path = page.join("index.html");
    fs::write(&index_path, index).with_context(|| format!("cannot write {}", index_path.display()))?;

    let mut brotli_of_app = 0;
    for file in files_below(page)? {
        let size = compress(&file)?;
        if file.extension().is_some_and(|extension| extension == "wasm") {
            brotli_of_app = size;
        }
    }
    Ok(AppSize { plain: app.len(), brotli: brotli_of_app })
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
fn bind(module: &Path, assets: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("app").typescript(false).remove_name_section(true);
    bindgen.remove_producers_section(true).omit_default_module_path(true).web(true)?;
    bindgen.generate(assets).with_context(|| format!("wasm-bindgen cannot read {}", module.display()))?;
    Ok((take(&assets.join("app.js"))?, take(&assets.join("app_bg.wasm"))?))
}

/// Reads a file and removes it: it goes on under the name of its content.
fn take(path: &Path) -> Result<Vec<u8>> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(content)
}

fn source(frontend: &Path, name: &str) -> Result<Vec<u8>> {
    let path = frontend.join(name);
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
