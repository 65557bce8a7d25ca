//! `qponder evaluate`: models on datasets.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::evaluate::report::page;
use qponder_pipeline::evaluate::{
    Case, ModelReport, Plan, Provenance, Scored, Suite, cases, check_determinism, consistency, evaluate,
};
use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{DataArgs, SplitArg, progress, text};

#[derive(Args)]
pub(super) struct SuiteArgs {
    /// Model directories; several are set against each other.
    #[arg(long, value_name = "DIR", default_value = "models/nano")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// One mode only [default: both].
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Where the logistic is fitted: on the labels that are tested, or on the validation split.
    #[arg(long, value_enum, default_value = "test")]
    fit_on: FitOnArg,
    /// Ask again about so many images, with equal seeds and in other batches [default: 8 with --html, else 0].
    #[arg(long, value_name = "N")]
    check_determinism: Option<usize>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Also write a self-contained page, index.html, into this directory.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
    /// Also write every image's score and text there, as JSON lines; of one model.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ModeArg {
    Quick,
    Reason,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum FitOnArg {
    Val,
    Test,
}

/// Images of the determinism check of a report.
const CHECKED: usize = 8;

/// Evaluates and prints.
pub(super) fn run(args: &SuiteArgs) -> anyhow::Result<()> {
    if args.scores.is_some() && args.model.len() > 1 {
        bail!("--scores holds the scores of one model; evaluate one --model at a time");
    }
    // Whatever cannot be written is found out before hours of work.
    let mut scores_file = args.scores.as_deref().map(create).transpose()?;
    if let Some(dir) = &args.html {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let DataArgs { manifest, split, limit, .. } = &args.data;
    let tested = cases(manifest, split.split(), *limit)?;
    let fits_elsewhere = args.fit_on == FitOnArg::Val && *split != SplitArg::Val;
    let validation = if fits_elsewhere { Some(cases(manifest, Split::Val, *limit)?) } else { None };
    let plan = Plan { cases: &tested, fit_on: validation.as_deref(), consistency: consistency(manifest)? };

    let (mut models, mut scored) = (Vec::new(), Vec::new());
    for dir in &args.model {
        let (report, scores) = one_model(args, dir, &plan)?;
        if let Some(file) = &mut scores_file {
            for row in &scores {
                writeln!(file, "{}", serde_json::to_string(row)?)?;
            }
        }
        models.push(report);
        scored.push(scores);
    }
    name_apart(&mut models, &args.model);
    let provenance = Provenance::of(manifest, &tested, split.split().name(), now()?)?;
    let suite = Suite::new(provenance, models, &scored)?;
    if let Some(dir) = &args.html {
        let path = dir.join("index.html");
        let page = page(&suite, &tested, &scored)?;
        std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    if args.json {
        println!("{}", serde_json::to_string(&suite)?);
    } else {
        text::print(&suite);
    }
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn one_model(args: &SuiteArgs, dir: &Path, plan: &Plan<'_>) -> anyhow::Result<(ModelReport, Vec<Scored>)> {
    let assessor = Assessor::load(dir, args.data.device)?;
    let model = assessor.info().clone();
    let (mut modes, mut scored) = (Vec::new(), Vec::new());
    for (chosen, mode) in [(ModeArg::Quick, Mode::Quick), (ModeArg::Reason, Mode::Reason)] {
        if args.mode.is_some_and(|only| only != chosen) {
            continue;
        }
        let bar = progress::bar(plan.images(), format!("{}, {} mode", model.name, mode.name()))?;
        let result = evaluate(&assessor, plan, mode, &mut |done| bar.set_position(done as u64));
        bar.finish_and_clear();
        let (report, scores) = result?;
        modes.push(report);
        scored.extend(scores);
    }
    let checked = args.check_determinism.unwrap_or(if args.html.is_some() { CHECKED } else { 0 });
    let cases: &[Case] = plan.cases;
    let determinism = (checked > 0).then(|| check_determinism(&assessor, cases, checked)).transpose()?;
    Ok((ModelReport { name: model.name.clone(), model, modes, determinism }, scored))
}

/// Two models of one name get their paths.
fn name_apart(models: &mut [ModelReport], paths: &[PathBuf]) {
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    for (model, path) in models.iter_mut().zip(paths) {
        if names.iter().filter(|&name| *name == model.name).count() > 1 {
            model.name = path.display().to_string();
        }
    }
}

/// The time in UTC, to the second.
fn now() -> anyhow::Result<String> {
    let seconds = i64::try_from(UNIX_EPOCH.elapsed()?.as_secs())?;
    Ok(OffsetDateTime::from_unix_timestamp(seconds)?.format(&Rfc3339)?)
}
