//! The models that a server serves, and how each is asked.

use qponder_pipeline::assess::{Assessor, Wording};
use qponder_pipeline::endpoint::{Endpoint, EndpointError};
use qponder_shared::api::{Mode, ModelInfo, ModelPlace, ModelRole, Sampling, ServedModel};
use qponder_shared::prompt::{self, Prompt};
use qponder_shared::recipe::EndpointRecipe;
use sha2::{Digest as _, Sha256};

/// Words that a model is asked with in place of its mode's prompt.
#[derive(Clone, Debug)]
pub struct Words {
    /// System turn and user turn.
    pub wording: Wording,
    /// The prompt's version; `None` for a caller's own words.
    pub version: Option<&'static str>,
}

/// A teacher behind an endpoint.
pub struct Teacher {
    /// How it may be called.
    pub settings: EndpointRecipe,
    /// What calls it.
    pub endpoint: Endpoint,
    /// The prompt for reasons.
    pub prompt: Prompt,
}

impl Teacher {
    /// The teacher of a recipe, with its key from the environment.
    ///
    /// # Errors
    /// When the key is not there.
    pub fn new(settings: EndpointRecipe, prompt: Prompt) -> Result<Self, EndpointError> {
        let endpoint = Endpoint::new(&settings)?;
        Ok(Self { settings, endpoint, prompt })
    }

    /// Tells it from others of its name: SHA-256 over the base URL, a line feed, and the name.
    fn sha256(&self) -> String {
        let base_url = self.settings.base_url.trim_end_matches('/');
        let hash = Sha256::digest(format!("{base_url}\n{}", self.settings.model));
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One model and where it runs.
#[expect(clippy::large_enum_variant, reason = "a handful at the start, moved once")]
pub(super) enum Seat {
    Local { role: ModelRole, assessor: Assessor, prompt: Prompt },
    Endpoint(Teacher),
}

impl Seat {
    pub(super) fn served(&self) -> ServedModel {
        match self {
            Seat::Local { role, assessor, prompt } => ServedModel {
                name: assessor.info().name.clone(),
                role: *role,
                place: ModelPlace::Local,
                sha256: assessor.info().sha256.clone(),
                parameters: Some(assessor.info().parameters),
                prompt_version: prompt.version.to_owned(),
            },
            Seat::Endpoint(teacher) => ServedModel {
                name: teacher.settings.model.clone(),
                role: ModelRole::Teacher,
                place: ModelPlace::Endpoint,
                sha256: teacher.sha256(),
                parameters: None,
                prompt_version: teacher.prompt.version.to_owned(),
            },
        }
    }
}

impl Seat {
    pub(super) fn info(&self) -> Option<ModelInfo> {
        match self {
            Seat::Local { assessor, .. } => Some(assessor.info().clone()),
            Seat::Endpoint(_) => None,
        }
    }
}

/// Two models of one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two models are called {name}; an answer names its model, so rename the directory of one of them")]
pub struct SameName {
    pub(super) name: String,
}

/// The models that a server begins with, the default one first.
pub struct Roster {
    pub(super) seats: Vec<Seat>,
}

impl Roster {
    /// Of the default model alone.
    pub fn new(assessor: Assessor) -> Self {
        Self { seats: vec![Self::own(assessor)] }
    }

    fn own(assessor: Assessor) -> Seat {
        Seat::Local { role: ModelRole::Model, assessor, prompt: prompt::current(Mode::Reason) }
    }

    /// Adds a local model.
    ///
    /// # Errors
    /// When another one has its name.
    pub fn add(&mut self, assessor: Assessor) -> Result<(), SameName> {
        self.seat(Self::own(assessor))
    }

    /// Adds a local teacher and the prompt that it is asked for reasons with.
    ///
    /// # Errors
    /// When another model has its name.
    pub fn add_teacher(&mut self, assessor: Assessor, prompt: Prompt) -> Result<(), SameName> {
        self.seat(Seat::Local { role: ModelRole::Teacher, assessor, prompt })
    }

    /// Adds a teacher behind an endpoint.
    ///
    /// # Errors
    /// When another model has its name.
    pub fn add_endpoint(&mut self, teacher: Teacher) -> Result<(), SameName> {
        self.seat(Seat::Endpoint(teacher))
    }

    fn seat(&mut self, seat: Seat) -> Result<(), SameName> {
        let name = seat.served().name;
        if self.seats.iter().any(|other| other.served().name == name) {
            return Err(SameName { name });
        }
        self.seats.push(seat);
        Ok(())
    }
}

/// Words for a model in a mode where it is not asked with the mode's own prompt. One behind an endpoint always
/// needs to be told.
pub fn words_of(model: &ServedModel, mode: Mode) -> Option<Words> {
    let own = prompt::current(mode);
    let is_taught = mode == Mode::Reason && model.prompt_version == prompt::DISTIL_BLIND.version;
    let asked = if is_taught { prompt::DISTIL_BLIND } else { own };
    (is_taught || model.place == ModelPlace::Endpoint).then(|| Words {
        wording: Wording { system: prompt::SYSTEM.to_owned(), user: asked.text.to_owned() },
        version: Some(asked.version),
    })
}

/// The version of the prompt that a model is asked with.
pub fn prompt_version(words: Option<&Words>, mode: Mode) -> &'static str {
    words.and_then(|words| words.version).unwrap_or_else(|| prompt::current(mode).version)
}

/// Whether a model can be asked like that.
///
/// # Errors
/// Why not, and what to do.
pub fn takes(model: &ServedModel, mode: Mode, sampling: &Sampling) -> Result<(), String> {
    let name = &model.name;
    if mode == Mode::Quick && !model.has_quick_mode() {
        return Err(format!(
            "{name} is behind an endpoint, which gives no probabilities; ask it in reason mode"
        ));
    }
    let plain = sampling.top_k == 0 && sampling.repetition_penalty == 1.0;
    if model.place == ModelPlace::Endpoint && !plain {
        return Err(format!(
            "{name} is behind an endpoint, which takes no top_k and no repetition_penalty; leave them out"
        ));
    }
    Ok(())
}
