//! What came of a job that trains nothing, from the reports that it wrote.

use std::collections::BTreeMap;
use std::path::Path;

use qponder_pipeline::batch::Report;
use qponder_shared::api::Mode;
use qponder_shared::job::{Difference, Estimated, JobKind, JobRecipe, Measured, Outcome};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `report.json` of a distillation, as far as it is shown.
#[derive(Deserialize)]
struct Distilled {
    wanted: u64,
    answered: u64,
    accepted: u64,
    images: u64,
    images_accepted: u64,
    refused: BTreeMap<String, u64>,
}

/// `report.json` of an evaluation, as far as it is shown.
#[derive(Deserialize)]
struct Evaluated {
    provenance: Provenance,
    models: Vec<Model>,
    stages: Vec<Stages>,
}

#[derive(Deserialize)]
struct Provenance {
    /// In the order of the recipe.
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    dataset: String,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    modes: Vec<ModeReport>,
}

#[derive(Deserialize)]
struct ModeReport {
    mode: Mode,
    #[serde(flatten)]
    overall: Statistics,
    datasets: BTreeMap<String, Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    images: u64,
    parse_failures: u64,
    srcc: Option<Estimated>,
    plcc: Option<Estimated>,
    krcc: Option<Estimated>,
    rmse: Option<Estimated>,
}

#[derive(Deserialize)]
struct Stages {
    first: String,
    second: String,
    comparisons: Vec<Comparison>,
}

#[derive(Deserialize)]
struct Comparison {
    mode: Mode,
    images: u64,
    srcc: Option<Estimated>,
    plcc: Option<Estimated>,
    rmse: Option<Estimated>,
}

/// What came of a job that wrote into `out`; `None` of a training, of which a model came. Models and datasets are
/// named as the recipe names them, but those of a batch as their answers are listed, which is `models`.
pub fn read(
    (kind, recipe): (JobKind, &str),
    out: &Path,
    models: Vec<String>,
) -> Result<Option<Outcome>, String> {
    match kind {
        JobKind::Sft | JobKind::Grpo => Ok(None),
        JobKind::Distil => {
            let Distilled { wanted, answered, accepted, images, images_accepted, refused } = report(out)?;
            Ok(Some(Outcome::Distilled { wanted, answered, accepted, images, images_accepted, refused }))
        }
        JobKind::Evaluate => {
            let recipe = JobRecipe::parse(kind, recipe)?;
            let models: Vec<String> = recipe.bases.iter().map(ToString::to_string).collect();
            let sources: Vec<String> = recipe.sources.iter().map(ToString::to_string).collect();
            Ok(Some(evaluated(report(out)?, &models, &sources)))
        }
        JobKind::AssessBatch => {
            let Report { images, answered, unreadable, failed } = report(out)?;
            let [images, answered, unreadable, failed] =
                [images, answered, unreadable, failed].map(|count| count as u64);
            Ok(Some(Outcome::Assessed { models, images, answered, unreadable, failed }))
        }
        JobKind::Export => {
            let (mut files, mut bytes) = (0, 0);
            let entries = std::fs::read_dir(out).map_err(|error| error.to_string())?;
            for entry in entries {
                let entry = entry.and_then(|entry| entry.metadata()).map_err(|error| error.to_string())?;
                if entry.is_file() {
                    (files, bytes) = (files + 1, bytes + entry.len());
                }
            }
            Ok(Some(Outcome::Exported { files, bytes }))
        }
    }
}

fn report<T: DeserializeOwned>(out: &Path) -> Result<T, String> {
    let text = std::fs::read(out.join("report.json")).map_err(|error| format!("report.json: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("report.json: {error}"))
}

fn evaluated(report: Evaluated, models: &[String], sources: &[String]) -> Outcome {
    let mut measured = Vec::new();
    for (model, name) in report.models.iter().zip(models) {
        for ModeReport { mode, overall, datasets } in &model.modes {
            let row = |statistics: &Statistics, dataset: Option<String>| Measured {
                model: name.clone(),
                dataset,
                mode: *mode,
                images: statistics.images,
                parse_failures: statistics.parse_failures,
                srcc: statistics.srcc,
                plcc: statistics.plcc,
                krcc: statistics.krcc,
                rmse: statistics.rmse,
            };
            if let [source] = sources {
                measured.push(row(overall, Some(source.clone())));
                continue;
            }
            for (manifest, source) in report.provenance.manifests.iter().zip(sources) {
                measured.extend(
                    datasets.get(&manifest.dataset).map(|statistics| row(statistics, Some(source.clone()))),
                );
            }
            measured.push(row(overall, None));
        }
    }
    let named = |name: &str| {
        let place = report.models.iter().position(|model| model.name == name);
        place.and_then(|place| models.get(place)).cloned().unwrap_or_else(|| name.to_owned())
    };
    let differences = report.stages.iter().flat_map(|stages| {
        stages.comparisons.iter().map(|comparison| Difference {
            first: named(&stages.first),
            second: named(&stages.second),
            mode: comparison.mode,
            images: comparison.images,
            srcc: comparison.srcc,
            plcc: comparison.plcc,
            rmse: comparison.rmse,
        })
    });
    Outcome::Evaluated { measured, differences: differences.collect() }
}
