//! `qponder recipe`: checks training recipes and shows their keys.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use qponder_pipeline::device::Place;
use qponder_pipeline::train::Estimate;
use qponder_shared::recipe::{Kind, Recipe};

use super::training::describe_memory;

/// Check training recipes, or show every key with its default.
#[derive(Args)]
#[command(after_help = "Examples:
  qponder recipe check models/recipes/*.toml
  qponder recipe show-defaults grpo > my-recipe.toml
  qponder recipe show-defaults judge > my-judge.toml")]
pub struct RecipeArgs {
    #[command(subcommand)]
    command: RecipeCommand,
}

#[derive(Subcommand)]
enum RecipeCommand {
    /// Say what is wrong with recipes, and about how much memory each will need.
    ///
    /// The kind of a recipe is seen from its sections: only grpo has `[rollout]`, `[reward]` and `[judge]`, a judge
    /// has `[endpoint]` and at most `[limits]`, distil has more beside its `[endpoint]`, and evaluate has `models`.
    Check {
        /// Recipes, TOML files.
        #[arg(required = true, value_name = "FILE")]
        recipes: Vec<PathBuf>,
        /// Take the recipes for ones of this kind.
        #[arg(long, value_enum)]
        kind: Option<KindArg>,
        /// Where a training would run, which decides how much memory it needs: cpu, cuda, or cuda:N.
        #[arg(long, value_name = "DEVICE", default_value_t)]
        device: Place,
    },
    /// Print a recipe with every key, its default and what it means.
    ShowDefaults {
        #[arg(value_enum)]
        kind: KindArg,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Distil,
    Sft,
    Grpo,
    Judge,
    Evaluate,
    Assess,
    Export,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Distil => Kind::Distil,
            KindArg::Sft => Kind::Sft,
            KindArg::Grpo => Kind::Grpo,
            KindArg::Judge => Kind::Judge,
            KindArg::Evaluate => Kind::Evaluate,
            KindArg::Assess => Kind::Assess,
            KindArg::Export => Kind::Export,
        }
    }
}

/// Checks every file, or prints the defaults.
///
/// # Errors
/// When a recipe cannot be read or used; all are looked at first.
pub fn run(args: RecipeArgs) -> anyhow::Result<()> {
    match args.command {
        RecipeCommand::ShowDefaults { kind } => {
            print!("{}", Kind::from(kind).defaults());
            Ok(())
        }
        RecipeCommand::Check { recipes, kind, device } => {
            let mut broken = 0;
            for path in &recipes {
                if let Err(error) = check(path, kind.map(Kind::from), device) {
                    println!("{}: {error:#}", path.display());
                    broken += 1;
                }
            }
            if broken > 0 {
                bail!("{broken} of {} recipes cannot be used", recipes.len());
            }
            Ok(())
        }
    }
}

fn check(path: &PathBuf, kind: Option<Kind>, device: Place) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).context("cannot be read")?;
    let kind = kind.map_or_else(|| Kind::of(&text), Ok)?;
    let estimate = match Recipe::parse(kind, &text)? {
        Recipe::Distil(_)
        | Recipe::Judge(_)
        | Recipe::Evaluate(_)
        | Recipe::Assess(_)
        | Recipe::Export(_) => None,
        Recipe::Sft(recipe) => Some(Estimate::sft(&recipe, device)),
        Recipe::Grpo(recipe) => Some(Estimate::grpo(&recipe, device)),
    };
    println!("{}: a valid recipe of {}", path.display(), kind.name());
    match estimate {
        Some(Ok(estimate)) => println!("  {}", describe_memory(&estimate)),
        Some(Err(error)) => {
            println!("  how much memory it needs cannot be said before its base is there: {error}");
        }
        None => {}
    }
    Ok(())
}
