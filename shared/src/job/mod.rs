//! Jobs: trainings that workers do, and what becomes of them.

mod hints;
mod outcome;
mod recipe;
mod template;

use std::collections::BTreeMap;

pub use hints::{Line, hints};
pub use outcome::{Difference, Estimated, Interval, Measured, Outcome};
pub use recipe::{Base, JobRecipe, Names, Source, differences};
use serde::{Deserialize, Serialize};
pub use template::Template;

use crate::recipe::Kind;
use crate::{ArtifactId, DatasetId, ImageId, JobId, WorkerId};

/// Longest recipe, in bytes.
pub const MAX_RECIPE: usize = 64 << 10;
/// Longest notes, in characters.
pub const MAX_NOTES: usize = 20_000;
/// Longest tag or label, in characters.
pub const MAX_TAG: usize = 60;
/// Most tags of a job.
pub const MAX_TAGS: usize = 20;
/// Most jobs that one can need.
pub const MAX_NEEDS: usize = 20;

macro_rules! names {
    ($type:ident: $($variant:ident $name:literal),+) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON and in the database.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The one of a name.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

/// What a job does. Its recipe is one of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A teacher is asked about images, and of its answers those that pass the filters are kept.
    Distil,
    /// The cold start.
    Sft,
    /// Reinforcement learning.
    Grpo,
    /// Models are measured on labelled images.
    Evaluate,
    /// Models answer about images, and their answers are kept as assessments.
    AssessBatch,
    /// A model is written as other programs read it.
    Export,
}

names!(JobKind: Distil "distil", Sft "sft", Grpo "grpo", Evaluate "evaluate", AssessBatch "assess_batch", Export "export");

impl JobKind {
    /// What its recipe is of on the command line.
    #[must_use]
    pub fn recipe(self) -> Kind {
        match self {
            Self::Distil => Kind::Distil,
            Self::Sft => Kind::Sft,
            Self::Grpo => Kind::Grpo,
            Self::Evaluate => Kind::Evaluate,
            Self::AssessBatch => Kind::Assess,
            Self::Export => Kind::Export,
        }
    }

    /// The command that does it: what stands between `qponder` and the options.
    #[must_use]
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Distil => &["distil"],
            Self::Sft => &["sft"],
            Self::Grpo => &["grpo"],
            Self::Evaluate => &["evaluate", "run"],
            Self::AssessBatch => &["assess", "run"],
            Self::Export => &["export", "run"],
        }
    }

    /// Whether it computes with a model, on a device.
    #[must_use]
    pub fn computes(self) -> bool {
        !matches!(self, Self::Distil | Self::Export)
    }

    /// The key of its recipe that names models; of a distillation the teacher.
    #[must_use]
    pub fn model_key(self) -> &'static str {
        match self {
            Self::Distil => "teacher",
            Self::Sft | Self::Grpo => "base",
            Self::Evaluate | Self::AssessBatch => "models",
            Self::Export => "model",
        }
    }

    /// Whether it reads images.
    #[must_use]
    pub fn reads_images(self) -> bool {
        self != Self::Export
    }

    /// Whether it makes a model.
    #[must_use]
    pub fn trains(self) -> bool {
        matches!(self, Self::Sft | Self::Grpo)
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// For the jobs that it needs.
    Waiting,
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

names!(JobState: Waiting "waiting", Queued "queued", Running "running", Done "done", Failed "failed", Cancelled "cancelled");

impl JobState {
    /// Whether nothing changes any more, unless somebody asks for it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AttemptOutcome {
    Done,
    Failed,
    Cancelled,
    /// The worker was stopped and gave the job back.
    Released,
    /// The worker was not heard of any more.
    Lost,
}

names!(AttemptOutcome: Done "done", Failed "failed", Cancelled "cancelled", Released "released", Lost "lost");

/// What numbers are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum MetricPart {
    Train,
    Validation,
}

names!(MetricPart: Train "train", Validation "validation");

/// How much a line of a log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Info,
    Warning,
    Error,
}

names!(LogLevel: Info "info", Warning "warning", Error "error");

/// Body of `POST /api/v1/jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateJob {
    pub kind: JobKind,
    pub name: String,
    /// A recipe in TOML, without `out`. `base` and `models` are `model:` and the name of a model, or `job:` and the id
    /// of the job that trains it; manifests are `dataset:` and an id, or `job:` and the id of the distillation that
    /// makes it. A distillation names its teacher, `teacher = "NAME"`, in the place of an endpoint.
    pub recipe: String,
    /// Jobs that must be done before; those that the recipe names are always among them.
    #[serde(default)]
    pub needs: Vec<JobId>,
    /// -100 to 100; higher ones come first.
    #[serde(default)]
    pub priority: i16,
    /// Only a worker with this label takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Body of `POST /api/v1/recipes/check`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckRecipe {
    pub kind: JobKind,
    pub recipe: String,
}

/// What a recipe would need, as far as it can be said before it is queued.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecipeCheck {
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// Bytes of memory that a training takes at most, about; unknown while what it starts from is not there.
    pub memory: Option<u64>,
    /// Seconds, by the pace of the newest jobs of its kind that are done.
    pub seconds: Option<f64>,
    /// Of how many jobs the pace is.
    pub paced_by: u32,
    /// The keys that it sets, with their values in TOML; sections have none. Nothing where it is no TOML.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Body of `POST /api/v1/recipes/edit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditRecipe {
    pub recipe: String,
    /// With its section, such as `train.steps`.
    pub key: String,
    /// In TOML; of a section an empty text says that it is there. Without it the key is left out.
    #[serde(default)]
    pub value: Option<String>,
}

/// What came of changing a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EditedRecipe {
    pub recipe: String,
}

/// A key in which recipes differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecipeDifference {
    pub key: String,
    /// What each recipe says, in the order of the jobs; `None` where it leaves the key to its default.
    pub values: Vec<Option<String>>,
}

/// Body of `PATCH /api/v1/jobs/{id}`: what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EditJob {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What people want to remember of it, in Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Body of `POST /api/v1/pipelines`: a dataset goes all the way to a measured model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreatePipeline {
    /// What its jobs are called.
    pub name: String,
    pub dataset: DatasetId,
    /// What the cold start begins from, `model:` and a name, or `job:` and an id.
    pub base: String,
    /// Whose answers the cold start learns; without it those of the dataset, or what rules write where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    #[serde(default)]
    pub size: PipelineSize,
}

/// How long the trainings of a pipeline are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PipelineSize {
    /// To learn something.
    #[default]
    Usual,
    /// To see in minutes whether all of it works.
    Trial,
}

names!(PipelineSize: Usual "usual", Trial "trial");

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub name: String,
    pub recipe: String,
    pub state: JobState,
    pub needs: Vec<JobId>,
    pub priority: i16,
    /// Jobs in the queue before it; of one that is queued, where it is read alone.
    pub position: Option<u32>,
    /// Only a worker with this label takes it.
    pub label: Option<String>,
    /// What people want to remember of it, in Markdown.
    pub notes: String,
    pub tags: Vec<String>,
    /// Times it was begun.
    pub attempt: u32,
    /// Times it failed in a row without a new checkpoint in between.
    pub failures: u32,
    /// Steps that are done; of a distillation and an evaluation answers.
    pub step: u64,
    /// Steps that there are; 0 until it is known.
    pub steps: u64,
    /// What came of it, beside the model that it trained; `None` before it is done.
    pub outcome: Option<Outcome>,
    /// Name of the worker that has it.
    pub worker: Option<String>,
    /// Somebody wants it to end.
    pub is_cancelling: bool,
    /// Why it failed, or failed last.
    pub error: Option<String>,
    /// When it is tried again, after a failure.
    pub run_after: Option<String>,
    pub created_by: String,
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
}

/// One time that a job was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    pub attempt: u32,
    pub worker: String,
    pub device: String,
    /// The step after which it went on.
    pub first_step: u64,
    pub last_step: u64,
    pub started_at: String,
    pub ended_at: Option<String>,
    pub outcome: Option<AttemptOutcome>,
    pub error: Option<String>,
}

/// The numbers of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    pub part: MetricPart,
    pub step: u64,
    pub numbers: BTreeMap<String, f64>,
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Where it stands: later ones are higher.
    pub place: u64,
    pub attempt: u32,
    pub level: LogLevel,
    pub text: String,
    pub at: String,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Worker {
    pub id: WorkerId,
    pub name: String,
    pub device: String,
    /// Kinds of jobs that it does; all without any.
    pub kinds: Vec<JobKind>,
    pub labels: Vec<String>,
    pub version: String,
    pub started_at: String,
    pub seen_at: String,
    /// The job that it has.
    pub job: Option<JobId>,
}

/// The numbers of a job over all its steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricsSoFar {
    pub metrics: Vec<Metrics>,
    /// Where they end: later numbers come after it.
    pub place: u64,
}

/// A file that a job made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    pub id: ArtifactId,
    /// Where it stands among the job's files.
    pub name: String,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// An answer that reinforcement learning sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Completion {
    /// The image, as long as it is here.
    pub image: Option<ImageId>,
    /// What its score should be.
    pub label: Option<f64>,
    pub text: String,
    pub reward: f64,
    /// By how much the reward is above that of the other answers to the image, as training takes it.
    pub advantage: f64,
    /// Each term of the reward, before its weight.
    pub rewards: BTreeMap<String, f64>,
}

/// Some of the answers of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Completions {
    pub step: u64,
    /// The first and the last step that have answers.
    pub first_step: u64,
    pub last_step: u64,
    pub items: Vec<Completion>,
}

/// What the event stream of a job says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum JobEvent {
    /// How the job is now.
    Job { job: Box<Job> },
    /// Numbers in the order in which they came. Those of a step take the place of all of its part from that step on:
    /// a job that was interrupted makes some steps again.
    Metrics { metrics: Vec<Metrics> },
    /// Lines of its log.
    Log { lines: Vec<LogLine> },
}

impl JobEvent {
    /// The name of the event.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Job { .. } => "job",
            Self::Metrics { .. } => "metrics",
            Self::Log { .. } => "log",
        }
    }
}
