//! The models that the arguments of `qponder serve` name.

use std::path::Path;

use anyhow::Context as _;
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::device::Place;
use qponder_shared::api::ModelRole;
use qponder_shared::recipe::TeacherRecipe;

use super::ServeArgs;
use crate::cli::places;
use crate::inference::{Roster, Teacher};

/// Loads every model that was named, or the one that ships with Q-Ponder.
pub fn load(args: &ServeArgs) -> anyhow::Result<Roster> {
    // What costs nothing to check comes before gigabytes are read.
    let endpoint = args.teacher_endpoint.as_deref().map(endpoint).transpose()?;
    let mut models = args.model.iter();
    let mut roster = Roster::new(assessor(&places::model(models.next().map(|dir| &**dir)), args.device)?);
    for dir in models {
        roster.add(assessor(dir, args.device)?, ModelRole::Model)?;
    }
    if let Some(dir) = &args.teacher {
        roster.add(assessor(dir, args.device)?, ModelRole::Teacher)?;
    }
    if let Some(teacher) = endpoint {
        tracing::info!(model = teacher.settings.model, "teacher behind an endpoint");
        roster.add_endpoint(teacher)?;
    }
    Ok(roster)
}

fn assessor(dir: &Path, device: Place) -> anyhow::Result<Assessor> {
    let assessor = Assessor::load(dir, device)?;
    tracing::info!(model = assessor.info().name, parameters = assessor.info().parameters, "model loaded");
    Ok(assessor)
}

fn endpoint(file: &Path) -> anyhow::Result<Teacher> {
    let named = || format!("--teacher-endpoint {}", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    let recipe = TeacherRecipe::parse(&text).with_context(named)?;
    Teacher::new(recipe.endpoint).with_context(named)
}
