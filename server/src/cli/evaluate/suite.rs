//! `qponder evaluate`: models on datasets.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::device::Place;
use qponder_pipeline::evaluate::report::page;
use qponder_pipeline::evaluate::{
    Case, ModelReport, Plan, Provenance, Scored, Suite, SwapReport, cases, check_determinism, consistency,
    evaluate, spread, swap,
};
use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;
use qponder_shared::recipe::{EvaluateRecipe, FitOn};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::judge::{self, Bench};
use super::recipe::Teller;
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
/// Decides which image lends its reasoning to which; the default of `evaluate swap`.
const SWAP_SEED: u64 = 0;

impl SuiteArgs {
    /// The modes that are measured.
    fn modes(&self) -> impl Iterator<Item = Mode> {
        let modes = [(ModeArg::Quick, Mode::Quick), (ModeArg::Reason, Mode::Reason)];
        modes
            .into_iter()
            .filter(|(chosen, _)| self.mode.is_none_or(|only| only == *chosen))
            .map(|(_, mode)| mode)
    }

    /// What a recipe says, in the words of the command line.
    pub(super) fn of(recipe: &EvaluateRecipe, device: Place) -> Self {
        let EvaluateRecipe { models, data, measure, .. } = recipe;
        let paths = |names: &[String]| names.iter().map(PathBuf::from).collect();
        Self {
            model: paths(models),
            data: DataArgs {
                manifest: paths(&data.manifests),
                split: SplitArg::of(data.split),
                limit: data.limit,
                device,
            },
            mode: match measure.modes[..] {
                [Mode::Quick] => Some(ModeArg::Quick),
                [Mode::Reason] => Some(ModeArg::Reason),
                _ => None,
            },
            fit_on: match measure.fit_on {
                FitOn::Val => FitOnArg::Val,
                FitOn::Test => FitOnArg::Test,
            },
            check_determinism: Some(measure.determinism),
            judge: None,
            swap: (measure.swap > 0).then_some(measure.swap),
            json: false,
            html: None,
            scores: None,
        }
    }
}

/// Everything that was found.
pub(super) struct Evaluated {
    pub(super) suite: Suite,
    tested: Vec<Case>,
    /// Every model's scores.
    pub(super) scored: Vec<Vec<Scored>>,
}

/// Evaluates and prints.
pub(super) fn run(args: &SuiteArgs) -> anyhow::Result<()> {
    if args.scores.is_some() && args.model.len() > 1 {
        bail!("--scores holds the scores of one model; evaluate one --model at a time");
    }
    if args.judge.is_some() && args.mode == Some(ModeArg::Quick) {
        bail!("--judge judges the reasoning, and quick mode writes none; leave --mode quick out");
    }
    // Whatever cannot be written is found out before hours of work.
    let scores_file = args.scores.as_deref().map(create).transpose()?;
    if let Some(dir) = &args.html {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let journal = judge::journal(args.html.as_deref(), args.scores.as_deref());
    let mut bench = match &args.judge {
        Some(recipe) => Some(Bench::open(recipe, journal.as_deref())?),
        None => None,
    };
    let evaluated = evaluated(args, bench.as_mut(), None)?;
    if let (Some(mut file), Some(scores)) = (scores_file, evaluated.scored.first()) {
        write_scores(&mut file, scores)?;
    }
    if let Some(dir) = &args.html {
        write_page(dir, &evaluated)?;
        eprintln!("wrote {}", dir.join("index.html").display());
    }
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

/// Evaluates.
pub(super) fn evaluated(
    args: &SuiteArgs,
    mut bench: Option<&mut Bench>,
    mut teller: Option<&mut Teller>,
) -> anyhow::Result<Evaluated> {
    let DataArgs { manifest, split, limit, .. } = &args.data;
    let tested = cases(manifest, split.split(), *limit)?;
    let fits_elsewhere = args.fit_on == FitOnArg::Val && *split != SplitArg::Val;
    let validation = if fits_elsewhere { Some(cases(manifest, Split::Val, *limit)?) } else { None };
    let plan = Plan { cases: &tested, fit_on: validation.as_deref(), consistency: consistency(manifest)? };
    if let Some(teller) = &mut teller {
        teller.begin(args.model.len() * args.modes().count() * plan.images());
    }
    let (mut models, mut scored) = (Vec::new(), Vec::new());
    for dir in &args.model {
        let (report, scores) = one_model(args, dir, &plan, bench.as_deref_mut(), teller.as_deref_mut())?;
        models.push(report);
        scored.push(scores);
    }
    name_apart(&mut models, &args.model);
    let mut provenance = Provenance::of(manifest, &tested, split.split().name(), now()?)?;
    provenance.judge_calls = bench.map(|bench| bench.calls());
    let suite = Suite::new(provenance, models, &scored)?;
    Ok(Evaluated { suite, tested, scored })
}

/// Writes every image's score and text.
pub(super) fn write_scores(file: &mut File, scores: &[Scored]) -> anyhow::Result<()> {
    for row in scores {
        writeln!(file, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}

/// Writes the page of an evaluation.
pub(super) fn write_page(dir: &Path, evaluated: &Evaluated) -> anyhow::Result<()> {
    let path = dir.join("index.html");
    let page = page(&evaluated.suite, &evaluated.tested, &evaluated.scored)?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn one_model(
    args: &SuiteArgs,
    dir: &Path,
    plan: &Plan<'_>,
    bench: Option<&mut Bench>,
    mut teller: Option<&mut Teller>,
) -> anyhow::Result<(ModelReport, Vec<Scored>)> {
    let assessor = Assessor::load(dir, args.data.device)?;
    let model = assessor.info().clone();
    let (mut modes, mut scored) = (Vec::new(), Vec::new());
    for mode in args.modes() {
        let bar = match teller {
            Some(_) => ProgressBar::hidden(),
            None => progress::bar(plan.images(), format!("{}, {} mode", model.name, mode.name()))?,
        };
        let result = evaluate(&assessor, plan, mode, &mut |done| {
            bar.set_position(done as u64);
            if let Some(teller) = &mut teller {
                teller.tell(done);
            }
            bench.iter().for_each(|bench| bench.leave_if_stopped());
        });
        bar.finish_and_clear();
        let (report, scores) = result?;
        if let Some(teller) = &mut teller {
            teller.finish(plan.images());
        }
        modes.push(report);
        scored.extend(scores);
    }
    let checked = args.check_determinism.unwrap_or(if args.html.is_some() { CHECKED } else { 0 });
    let cases: &[Case] = plan.cases;
    let determinism = (checked > 0).then(|| check_determinism(&assessor, cases, checked)).transpose()?;
    let judge = bench.map(|bench| bench.judge(&model.name, cases, &scored)).transpose()?;
    let swap = args.swap.map(|images| swapped(&assessor, &spread(cases, images))).transpose()?;
    Ok((ModelReport { name: model.name.clone(), model, modes, judge, swap, determinism }, scored))
}

/// Swaps the reasoning of some cases.
fn swapped(assessor: &Assessor, cases: &[Case]) -> anyhow::Result<SwapReport> {
    let bar = progress::bar(2 * cases.len(), format!("{}, reasoning swapped", assessor.info().name))?;
    let report = swap(assessor, cases, SWAP_SEED, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    Ok(report?)
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
