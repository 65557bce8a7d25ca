//! The models that the arguments of `qponder serve` name.

use std::path::Path;

use anyhow::Context as _;
use qponder_pipeline::assess::Assessor;
use qponder_pipeline::device::Place;
use qponder_shared::api::Mode;
use qponder_shared::prompt::{self, Prompt};

use super::ServeArgs;
use crate::cli::{places, worker};
use crate::inference::{Roster, Teacher};

/// What teachers are asked for reasons with.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub enum TeacherPrompt {
    /// The expert's prompt of distillation, for general vision models.
    #[default]
    Expert,
    /// The short one, for models that Q-Ponder has trained: they know no other.
    Trained,
}

impl TeacherPrompt {
    fn prompt(self) -> Prompt {
        match self {
            Self::Expert => prompt::DISTIL_BLIND,
            Self::Trained => prompt::current(Mode::Reason),
        }
    }
}

/// Loads every model that was named, or the one that ships with Q-Ponder.
pub fn load(args: &ServeArgs) -> anyhow::Result<Roster> {
    let asked = args.teacher_prompt.prompt();
    // What costs nothing to check comes before gigabytes are read.
    let endpoints = worker::teachers(&args.teacher_endpoint)?;
    let endpoints = endpoints.into_iter().map(|endpoint| Teacher::new(endpoint, asked));
    let endpoints: Vec<Teacher> = endpoints.collect::<Result<_, _>>().context("--teacher-endpoint")?;
    let mut models = args.model.iter();
    let mut roster = Roster::new(assessor(&places::model(models.next().map(|dir| &**dir)), args.device)?);
    for dir in models {
        roster.add(assessor(dir, args.device)?)?;
    }
    if let Some(dir) = &args.teacher {
        roster.add_teacher(assessor(dir, args.device)?, asked)?;
    }
    for teacher in endpoints {
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
