//! Where to compute: on the graphics card or on the processor, whichever is faster on this device.

use qponder_shared::quick::{Place, Runs};

use super::{now, weights};
use crate::engine::{Engine, EngineError};
use crate::pixels::RgbImage;

/// What the page calls the processor.
pub const PROCESSOR: &str = "Processor";

/// Side of the picture that is measured with.
const SIDE: usize = 336;

/// Makes the engine compute there.
pub async fn choose(engine: &mut Engine, place: Place) -> Runs {
    match place {
        Place::Cpu => processor(engine, "as you chose"),
        Place::Gpu => match engine.use_gpu().await {
            Ok(name) => card(name, "as you chose"),
            Err(error) => processor(engine, &cannot(&error)),
        },
        Place::Faster => faster(engine).await.unwrap_or_else(|error| processor(engine, &cannot(&error))),
    }
}

/// Leaves the graphics card alone, which a page or an engine did not survive.
pub fn after_crash(engine: &mut Engine) -> Runs {
    processor(
        engine,
        "the engine did not survive its last try of the graphics card, which you can choose again",
    )
}

fn runs(on: &str, reason: String) -> Runs {
    Runs { on: on.to_owned(), reason, is_after_loss: false }
}

fn processor(engine: &mut Engine, why: &str) -> Runs {
    engine.use_cpu();
    runs(PROCESSOR, format!("one thread with SIMD; {why}"))
}

fn card(name: String, why: &str) -> Runs {
    runs(&name, format!("WebGPU; {why}"))
}

fn cannot(error: &EngineError) -> String {
    match error {
        EngineError::Gpu(reason) => format!("no WebGPU: {reason}"),
        error => error.to_string(),
    }
}

/// Measures both once; the browser keeps who won.
async fn faster(engine: &mut Engine) -> Result<Runs, EngineError> {
    let kept = weights::kept_text(weights::WINNER).await;
    if kept.as_deref() == Some("cpu") {
        return Ok(processor(engine, "faster here than the graphics card when both were measured"));
    }
    let name = engine.use_gpu().await?;
    if kept.as_deref() == Some("gpu") {
        return Ok(card(name, "faster here than the processor when both were measured"));
    }
    // The first run compiles.
    let _ = milliseconds(engine).await?;
    let on_card = milliseconds(engine).await?;
    engine.use_cpu();
    let on_processor = milliseconds(engine).await?;
    let times =
        format!("a photo takes {on_card:.0} ms on the graphics card, {on_processor:.0} ms on the processor");
    if on_processor < on_card {
        weights::keep_text(weights::WINNER, "cpu").await;
        return Ok(processor(engine, &times));
    }
    weights::keep_text(weights::WINNER, "gpu").await;
    let name = engine.use_gpu().await?;
    Ok(card(name, &times))
}

/// How long a photo takes.
async fn milliseconds(engine: &mut Engine) -> Result<f64, EngineError> {
    let data = (0..SIDE * SIDE * 3).map(|i| (i / 3 % SIDE) as u8 ^ (i / 3 / SIDE) as u8).collect();
    let Some(image) = RgbImage::new(SIDE, SIDE, data) else { return Ok(0.0) };
    let begun = now();
    let _ = engine.score(&image).await?;
    Ok(now() - begun)
}
