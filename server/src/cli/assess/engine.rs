//! Assessing with the engine of the page *Quick score*: quantised weights, one photo at a time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use qponder_kernels::engine::{Engine, Sampler};
use qponder_kernels::pixels::RgbImage;
use qponder_pipeline::assess::{Answer, Finish};
use qponder_pipeline::export::MANIFEST;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::grammar::{self, Response};
use qponder_shared::weights::Manifest;
use qponder_shared::{Level, prompt};

use super::report::{Asked, Report};
use super::{AssessArgs, BackendArg, inputs};
use crate::cli::places;

/// Assesses the files; whether all could be.
///
/// # Errors
/// When the model cannot be loaded, or an option is given that only candle knows.
pub fn run(
    args: &AssessArgs,
    files: Vec<PathBuf>,
    mode: Mode,
    sampling: Sampling,
    single: bool,
) -> anyhow::Result<bool> {
    if sampling.top_p < 1.0 {
        bail!("--top-p needs --backend candle");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let folder = folder(&places::model(args.model.as_deref()))?;
    let (manifest, mut engine) = load(&folder)?;
    if args.backend == BackendArg::Wgpu {
        let name = runtime.block_on(engine.use_gpu()).context("the graphics card cannot be used")?;
        eprintln!("on {name}");
    }
    let name = format!("{}, {}", manifest.model, manifest.quant);
    let mut report =
        Report::new(Asked { model: name, mode, seed: args.seed }, files.len(), args.json, single);
    let mut all_fine = true;
    for file in files {
        let answer = inputs::read(&file)
            .and_then(|image| runtime.block_on(answer(&mut engine, &image, mode, sampling, &mut report)));
        let answer = answer.map_err(|error| format!("{error:#}"));
        all_fine &= answer.is_ok();
        report.file(&file, answer.as_ref())?;
    }
    report.finish();
    Ok(all_fine)
}

/// The directory with the files of a model.
fn folder(model: &Path) -> anyhow::Result<PathBuf> {
    let exported = [model.to_owned(), model.join("q8_0")];
    let found = exported.into_iter().find(|folder| folder.join(MANIFEST).is_file());
    found.with_context(|| {
        let model = model.display();
        format!("{model} has no GGUF files; `qponder export gguf --model {model} --out DIR` makes them")
    })
}

fn load(folder: &Path) -> anyhow::Result<(Manifest, Engine)> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let manifest: Manifest = serde_json::from_slice(&read(MANIFEST)?)
        .with_context(|| format!("{} is damaged", folder.join(MANIFEST).display()))?;
    let [text, vision] = manifest.files.as_slice() else { bail!("{MANIFEST} does not list two files") };
    let engine = Engine::read(&read(&text.name)?, &read(&vision.name)?)
        .with_context(|| format!("cannot load the model in {}", folder.display()))?;
    Ok((manifest, engine))
}

async fn answer(
    engine: &mut Engine,
    image: &RgbImage,
    mode: Mode,
    sampling: Sampling,
    report: &mut Report,
) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let instructions = engine.instructions();
    let version = match mode {
        Mode::Quick => &instructions.quick.version,
        Mode::Reason => &instructions.reason.version,
    };
    let prompt_version = version.clone();
    if prompt_version != prompt::current(mode).version {
        bail!("the files were exported with another prompt ({prompt_version}); export them again");
    }
    if mode == Mode::Quick {
        let probabilities = engine.score(image).await?;
        let score = Level::expectation(probabilities);
        return Ok(Answer {
            text: score.map_or(String::new(), |score| score.level().word().to_owned()),
            response: Response { score, ..Response::default() },
            score,
            level_probabilities: Some(probabilities),
            finish: Finish::Stop,
            prompt_tokens: 0,
            new_tokens: 1,
            prompt_version,
            ms: begun.elapsed().as_millis() as u64,
        });
    }
    let mut printed = Ok(());
    let sampler = Sampler::new(sampling.temperature as f32, sampling.seed);
    let explanation = engine.explain(image, sampler, sampling.max_new_tokens, async |text: &str| {
        printed = report.text(text);
        printed.is_ok()
    });
    let explanation = explanation.await?;
    printed?;
    let response = grammar::parse(&explanation.text);
    Ok(Answer {
        score: response.score,
        response,
        text: explanation.text,
        level_probabilities: None,
        finish: if explanation.is_complete { Finish::Stop } else { Finish::Length },
        prompt_tokens: 0,
        new_tokens: explanation.new_tokens,
        prompt_version,
        ms: begun.elapsed().as_millis() as u64,
    })
}
