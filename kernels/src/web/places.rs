//! Where to compute: on the graphics card or on the processor, whichever is faster on this device.

use qponder_shared::quick::{Place, Runs, Tell};

use super::{now, tell, weights};
use crate::engine::{Engine, EngineError};
use crate::pixels::RgbImage;

/// What the page calls the processor.
pub const PROCESSOR: &str = "Processor";

/// Stands for a winner where the card was tried and the page did not survive it.
const CRASHED: &str = "crashed";
const AFTER_CRASH: &str =
    "the page or its engine ended while the graphics card was tried; you can choose it again";

/// Side of the picture that is measured with.
const SIDE: usize = 336;

/// Makes the engine compute there.
pub async fn choose(engine: &mut Engine, place: Place) -> Runs {
    match place {
        Place::Cpu => processor(engine, "as you chose"),
        Place::Gpu => match on_card(engine).await {
            Ok(name) => {
                if weights::kept_text(weights::WINNER).await.as_deref() == Some(CRASHED) {
                    // Measured anew on the next visit.
                    weights::keep_text(weights::WINNER, "").await;
                }
                card(name, "as you chose")
            }
            Err(error) => processor(engine, &cannot(&error)),
        },
        Place::Faster => faster(engine).await.unwrap_or_else(|error| processor(engine, &cannot(&error))),
    }
}

/// Leaves the graphics card alone until somebody chooses it.
pub async fn after_crash(engine: &mut Engine) -> Runs {
    weights::keep_text(weights::WINNER, CRASHED).await;
    processor(engine, AFTER_CRASH)
}

/// The card, with a word to the page before it is asked.
async fn on_card(engine: &mut Engine) -> Result<String, EngineError> {
    tell(&Tell::Tries { card: true });
    engine.use_gpu().await
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
    if kept.as_deref() == Some(CRASHED) {
        return Ok(processor(engine, AFTER_CRASH));
    }
    let name = on_card(engine).await?;
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
