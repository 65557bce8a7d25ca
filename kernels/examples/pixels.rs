//! Where the time goes between a file and its patches: `cargo run -p qponder-kernels --example pixels -- FILE...`
//! prints milliseconds per step, the best of five.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use qponder_kernels::pixels::{
    Filter, Limits, PatchConfig, Patches, decode, encode_png, fit_within, resize, thumbnail_jpeg,
};

/// The best time of five, in milliseconds.
fn milliseconds<T>(work: impl Fn() -> T) -> f64 {
    let time = || {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..5).map(|_| time()).fold(f64::INFINITY, f64::min)
}

fn report(file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(file)?;
    let limits = Limits::default();
    let decoded = decode(&bytes, &limits)?;
    let image = &decoded.image;
    let config = PatchConfig::default();
    Patches::new(image, &config)?;
    let (width, height) = fit_within(image.width(), image.height(), 512);

    println!("{}: {} by {} {}", file.display(), image.width(), image.height(), decoded.format);
    for warning in &decoded.warnings {
        println!("  note: {warning}");
    }
    println!("  decode            {:8.1} ms", milliseconds(|| decode(&bytes, &limits)));
    println!("  resize to 512     {:8.1} ms", milliseconds(|| resize(image, width, height, Filter::Bicubic)));
    println!("  patches (default) {:8.1} ms", milliseconds(|| Patches::new(image, &config)));
    println!("  thumbnail         {:8.1} ms", milliseconds(|| thumbnail_jpeg(image, 256)));
    println!("  PNG               {:8.1} ms", milliseconds(|| encode_png(image)));
    Ok(())
}

fn main() {
    let mut failed = false;
    for file in std::env::args_os().skip(1) {
        if let Err(error) = report(Path::new(&file)) {
            eprintln!("{}: {error}", Path::new(&file).display());
            failed = true;
        }
    }
    std::process::exit(i32::from(failed));
}
