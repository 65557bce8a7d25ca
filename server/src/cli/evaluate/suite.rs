//! `qponder evaluate`: models on datasets.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use qponder_pipeline::evaluate::{ANSWERS, EvaluateError, Evaluated, Evaluation, run, write_scores};
use qponder_pipeline::files::are_same;
use qponder_pipeline::train::checkpoint::write_whole;
use qponder_shared::api::Mode;
use qponder_shared::recipe::FitOn;

use super::progress::Bars;
use super::{DataArgs, judge, text};
use crate::cli::training::stop_on_signal;

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
    /// Have the reasoning judged by the endpoint of this recipe, a TOML file; see `qponder recipe show-defaults
    /// judge`. With --html DIR every call is kept in DIR/verdicts.jsonl, with --scores FILE alone beside it; the same
    /// command repeats none that was answered.
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    /// Also swap the reasoning of so many images, as `evaluate swap` does.
    #[arg(long, value_name = "N")]
    swap: Option<usize>,
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
/// What a shell makes of a process that SIGINT ended.
const INTERRUPTED: i32 = 130;

impl SuiteArgs {
    /// The modes that are measured.
    fn modes(&self) -> impl Iterator<Item = Mode> {
        let modes = [(ModeArg::Quick, Mode::Quick), (ModeArg::Reason, Mode::Reason)];
        modes
            .into_iter()
            .filter(|(chosen, _)| self.mode.is_none_or(|only| only == *chosen))
            .map(|(_, mode)| mode)
    }

    fn evaluation(&self) -> Evaluation {
        let DataArgs { manifest, split, limit, device } = &self.data;
        Evaluation {
            models: self.model.clone(),
            manifests: manifest.clone(),
            split: split.split(),
            limit: *limit,
            modes: self.modes().collect(),
            fit_on: match self.fit_on {
                FitOnArg::Val => FitOn::Val,
                FitOnArg::Test => FitOn::Test,
            },
            determinism: self.check_determinism.unwrap_or(if self.html.is_some() { CHECKED } else { 0 }),
            swap: self.swap.unwrap_or(0),
            device: *device,
            answers: self.answers(),
        }
    }

    /// Where answers are kept until the end: beside the page, or else beside the scores.
    fn answers(&self) -> Option<PathBuf> {
        let beside_page = self.html.as_ref().map(|dir| dir.join(ANSWERS));
        beside_page.or_else(|| self.scores.as_ref().map(|file| file.with_extension(ANSWERS)))
    }
}

/// Evaluates and prints.
pub(super) fn measure(args: &SuiteArgs) -> anyhow::Result<()> {
    if args.scores.is_some() && args.model.len() > 1 {
        bail!("--scores holds the scores of one model; evaluate one --model at a time");
    }
    if args.judge.is_some() && args.mode == Some(ModeArg::Quick) {
        bail!("--judge judges the reasoning, and quick mode writes none; leave --mode quick out");
    }
    // Whatever cannot be written is found out before hours of work.
    if let Some(file) = &args.scores {
        check_scores(file, &args.data.manifest)?;
    }
    if let Some(dir) = &args.html {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let journal = judge::journal(args.html.as_deref(), args.scores.as_deref());
    let mut judge =
        args.judge.as_deref().map(|recipe| judge::open(recipe, journal.as_deref())).transpose()?;
    let judge_name = judge.as_ref().map(|judge| judge.model().to_owned());
    let mut bars = Bars::new(judge_name.as_deref());
    let evaluation = args.evaluation();
    let evaluated = stoppable(|stop| {
        let found = run(&evaluation, judge.as_mut(), stop, &mut |event| bars.show(event));
        bars.finish();
        found
    })?;
    if let (Some(path), Some(scores)) = (&args.scores, evaluated.scored.first()) {
        let mut lines = Vec::new();
        write_scores(&mut lines, scores)?;
        write_whole(path, &lines)?;
    }
    if let Some(dir) = &args.html {
        evaluated.write_page(dir)?;
        eprintln!("wrote {}", dir.join("index.html").display());
    }
    evaluation.forget_answers()?;
    let suite = &evaluated.suite;
    if args.json {
        println!("{}", serde_json::to_string(suite)?);
    } else {
        text::print(suite);
    }
    match suite.models.iter().find_map(|model| model.judge.as_ref()?.ended.as_ref()) {
        Some(reason) => bail!("the judge did not get to the end: {reason}"),
        None => Ok(()),
    }
}

/// Evaluates until a signal says to stop, which then ends the process.
pub(super) fn stoppable(
    work: impl FnOnce(&AtomicBool) -> Result<Evaluated, EvaluateError>,
) -> anyhow::Result<Evaluated> {
    let stop = stop_on_signal()?;
    match work(&stop) {
        Err(error @ EvaluateError::Stopped) => {
            eprintln!("qponder: {error}");
            std::process::exit(INTERRUPTED);
        }
        other => Ok(other?),
    }
}

/// Refuses a file that cannot be written, or that the evaluation reads; earlier scores stay until there are new ones.
fn check_scores(file: &Path, manifests: &[PathBuf]) -> anyhow::Result<()> {
    let shown = file.display();
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.is_dir() || file.is_dir() {
        bail!("cannot write {shown}: --scores names a file in a directory that is there");
    }
    // The new file takes the place of the old one, and must not take that of a link like /dev/stdout.
    if file.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        bail!("{shown} is no ordinary file; name another with --scores");
    }
    if manifests.iter().any(|manifest| are_same(manifest, file)) {
        bail!("{shown} is a manifest of this evaluation; name another file with --scores");
    }
    Ok(())
}
