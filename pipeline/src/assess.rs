//! Assessing images: what the server and the command line call. Plain Rust, no tensors.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, IndexOp, Tensor};
use qponder_kernels::pixels::RgbImage;
use qponder_shared::api::{Mode, ModelInfo, Sampling};
use qponder_shared::grammar::{self, Response};
use qponder_shared::{Level, Score, prompt};
use sha2::{Digest, Sha256};

use crate::device::Place;
pub use crate::generate::{Finish, Flow};
use crate::generate::{GenerateError, Step, generate};
use crate::processor::{Processor, PromptError};
pub use crate::qwen2_5_vl::LoadError;
use crate::qwen2_5_vl::{Config, Inputs, Qwen2_5Vl, Weights};

/// After this an answer is complete, whatever the model would go on to say.
pub(crate) const END_OF_ANSWER: &str = "</answer>";

/// One image to assess.
#[derive(Clone, Debug)]
pub struct Request {
    pub image: RgbImage,
    pub mode: Mode,
    pub sampling: Sampling,
    /// What the model is asked, where it is not the mode's prompt.
    pub wording: Option<Wording>,
}

/// A caller's own words around the image, in reasoning mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// The system turn.
    pub system: String,
    /// What the user turn says after the image.
    pub user: String,
}

/// The prompt version of an answer to a caller's own words.
const OWN_WORDS: &str = "own";

/// What happens to a request. Each gets exactly one `Done`, `Refused` or `Failed`, and nothing after it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one `Done` a request, moved once")]
pub enum Event {
    /// Newly written text.
    Text(String),
    Done(Answer),
    /// The request cannot be answered as it is: why its image or its words do not fit the model.
    Refused(String),
    /// Why it cannot be answered.
    Failed(String),
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// As the model wrote it; in quick mode the most likely level word.
    pub text: String,
    pub response: Response,
    pub score: Option<Score>,
    /// Probabilities of bad to excellent; in quick mode only.
    pub level_probabilities: Option<[f64; 5]>,
    pub finish: Finish,
    pub prompt_tokens: usize,
    pub new_tokens: usize,
    pub prompt_version: String,
    /// From the start of the batch to the end of this answer.
    pub ms: u64,
}

#[derive(Debug, thiserror::Error)]
enum AssessError {
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the model failed: {0}")]
    Model(#[from] candle_core::Error),
    #[error("{}", GenerateError::NotNumbers)]
    NotNumbers,
}

impl From<GenerateError> for AssessError {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::NotNumbers => Self::NotNumbers,
            GenerateError::Tensor(error) => Self::Model(error),
        }
    }
}

/// A loaded model that assesses images.
pub struct Assessor {
    model: Qwen2_5Vl,
    processor: Processor,
    info: ModelInfo,
}

impl Assessor {
    /// Reads a checkpoint directory; on a GPU it computes in bf16.
    ///
    /// # Errors
    /// When the directory is missing, incomplete or damaged, or the device cannot be used.
    pub fn load(dir: &Path, place: Place) -> Result<Self, LoadError> {
        if !dir.is_dir() {
            return Err(LoadError::NoDirectory { dir: dir.to_owned() });
        }
        let config = Config::read(dir)?;
        let device = place.open()?;
        let weights = Weights::read(dir, place.inference_dtype(), &device)?;
        let processor = Processor::read(dir, &config)?;
        let mut hash = Sha256::new();
        for path in Weights::files(dir)? {
            hash.update(std::fs::read(&path).map_err(|source| LoadError::Read { path, source })?);
        }
        let name = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let info = ModelInfo {
            name: name.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            family: "qwen2_5_vl".into(),
            parameters: weights.parameters(),
            sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let model = Qwen2_5Vl::new(config, &weights, &device)?;
        Engine::new(&model, &processor)?;
        Ok(Self { model, processor, info })
    }

    /// Looks whether a checkpoint directory could be read, without reading its weights.
    ///
    /// # Errors
    /// As [`Assessor::load`], of what such a look finds.
    pub fn glance(dir: &Path) -> Result<(), LoadError> {
        if !dir.is_dir() {
            return Err(LoadError::NoDirectory { dir: dir.to_owned() });
        }
        Processor::read(dir, &Config::read(dir)?)?;
        Weights::glance(dir)
    }

    /// The same model under another name than its directory's.
    #[must_use]
    pub fn named(mut self, name: String) -> Self {
        self.info.name = name;
        self
    }

    /// What the model is.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model's weights and configuration.
    #[must_use]
    pub fn model(&self) -> &Qwen2_5Vl {
        &self.model
    }

    /// Tokenizer, chat template and image processor.
    #[must_use]
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// As [`Self::answer`], where each answer goes on from a given beginning: the text of [`Answer`] begins
    /// with it, the streamed text and the count of new tokens do not. Quick mode takes no beginning.
    pub fn answer_from(&self, forced: Vec<Forced>, sink: &mut dyn FnMut(usize, Event) -> Flow) {
        let (requests, beginnings): (Vec<Request>, Vec<String>) =
            forced.into_iter().map(|forced| (forced.request, forced.beginning)).unzip();
        self.run(&requests, &beginnings, sink);
    }

    /// Answers a batch together. `sink(index, event)` is called on this thread as things happen;
    /// [`Flow::Cancel`] ends that request, which then gets `Done` with [`Finish::Cancelled`].
    pub fn answer(&self, requests: &[Request], sink: &mut dyn FnMut(usize, Event) -> Flow) {
        self.run(requests, &[], sink);
    }

    fn run(&self, requests: &[Request], beginnings: &[String], sink: &mut dyn FnMut(usize, Event) -> Flow) {
        match Engine::new(&self.model, &self.processor) {
            Ok(engine) => engine.answer(requests, beginnings, sink),
            Err(error) => (0..requests.len()).for_each(|index| {
                sink(index, Event::Failed(error.to_string()));
            }),
        }
    }
}

/// A request in reasoning mode whose answer begins with words that are put into the model's mouth.
#[derive(Clone, Debug)]
pub struct Forced {
    pub request: Request,
    /// How the answer begins. It should end where a token of an unforced answer ends, such as after the
    /// line break behind `</think>`.
    pub beginning: String,
}

/// Assesses with a model that is in memory, such as one in training; see [`Assessor::answer`].
///
/// # Errors
/// When two level words begin with the same token.
pub fn assess_with(
    model: &Qwen2_5Vl,
    processor: &Processor,
    requests: &[Request],
    sink: &mut dyn FnMut(usize, Event) -> Flow,
) -> Result<(), LoadError> {
    Engine::new(model, processor)?.answer(requests, &[], sink);
    Ok(())
}

/// What answers: a model, its processor, and the first token of each level word, bad to excellent.
struct Engine<'a> {
    model: &'a Qwen2_5Vl,
    processor: &'a Processor,
    level_tokens: [u32; 5],
}

/// The first tokens of the level words, bad to excellent.
///
/// # Errors
/// When two of them are the same.
pub(crate) fn level_tokens(processor: &Processor) -> Result<[u32; 5], LoadError> {
    let mut level_tokens = [0; 5];
    for (token, level) in level_tokens.iter_mut().zip(Level::ALL) {
        *token =
            processor.tokenise(level.word()).ok().and_then(|ids| ids.first().copied()).unwrap_or_default();
    }
    let mut distinct = level_tokens.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 5 {
        let reason = "two level words begin with the same token, so quick mode is impossible".into();
        return Err(LoadError::Tokenizer { path: "tokenizer.json".into(), reason });
    }
    Ok(level_tokens)
}

impl<'a> Engine<'a> {
    fn new(model: &'a Qwen2_5Vl, processor: &'a Processor) -> Result<Self, LoadError> {
        Ok(Self { model, processor, level_tokens: level_tokens(processor)? })
    }

    /// Answers go on from `beginnings`, or from nothing where there is none.
    fn answer(
        &self,
        requests: &[Request],
        beginnings: &[String],
        sink: &mut dyn FnMut(usize, Event) -> Flow,
    ) {
        let started = Instant::now();
        let mut prompts = Vec::with_capacity(requests.len());
        let version = |index: usize| match requests[index].wording {
            None => prompt::current(Mode::Reason).version,
            Some(_) => OWN_WORDS,
        };
        let beginning = |index: usize| match requests[index].mode {
            Mode::Quick => "",
            Mode::Reason => beginnings.get(index).map_or("", String::as_str),
        };
        for (index, request) in requests.iter().enumerate() {
            match self.prompt(request, beginning(index)) {
                Ok(inputs) => prompts.push((index, inputs)),
                Err(
                    error @ (PromptError::ImageCount { .. }
                    | PromptError::Patches(_)
                    | PromptError::TooLong { .. }),
                ) => {
                    sink(index, Event::Refused(error.to_string()));
                }
                Err(error) => {
                    sink(index, Event::Failed(error.to_string()));
                }
            }
        }
        let (quick, reason): (Vec<_>, Vec<_>) =
            prompts.into_iter().partition(|(index, _)| requests[*index].mode == Mode::Quick);
        let mut batch = |part: Vec<(usize, Inputs)>, mode| {
            if part.is_empty() {
                return;
            }
            let indices: Vec<usize> = part.iter().map(|(index, _)| *index).collect();
            let mut inputs = Inputs::default();
            part.into_iter().for_each(|(_, one)| inputs.extend(one));
            let result = match mode {
                Mode::Quick => self.quick(&indices, &inputs, started, sink),
                Mode::Reason => {
                    let partial = |&index: &usize| Partial::new(version(index), beginning(index));
                    let answers = indices.iter().map(partial).collect();
                    self.reason(&indices, answers, requests, &inputs, started, sink)
                }
            };
            if let Err((open, error)) = result {
                for index in open {
                    sink(index, Event::Failed(error.to_string()));
                }
            }
        };
        batch(quick, Mode::Quick);
        batch(reason, Mode::Reason);
    }

    /// The prompt of a request, then the beginning of the answer. They are tokenised apart, as in training.
    fn prompt(&self, request: &Request, beginning: &str) -> Result<Inputs, PromptError> {
        let own = request.wording.as_ref();
        let (system, user) = own.map_or((prompt::SYSTEM, prompt::current(request.mode).text), |wording| {
            (wording.system.as_str(), wording.user.as_str())
        });
        let text = self.processor.chat(system, user, 1)?;
        let mut inputs = self.processor.inputs(&text, &[&request.image])?;
        if !beginning.is_empty() {
            inputs.say(&self.processor.tokenise(beginning)?);
        }
        Ok(inputs)
    }

    /// One forward pass: the expectation over the level words.
    fn quick(
        &self,
        indices: &[usize],
        inputs: &Inputs,
        started: Instant,
        sink: &mut dyn FnMut(usize, Event) -> Flow,
    ) -> Result<(), (Vec<usize>, AssessError)> {
        let probabilities = self.level_probabilities(inputs).map_err(|e| (indices.to_vec(), e))?;
        for ((&index, probabilities), &prompt_tokens) in
            indices.iter().zip(probabilities).zip(&inputs.lengths)
        {
            let score = Level::expectation(probabilities);
            let likeliest =
                (0..5).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b])).unwrap_or(0);
            let answer = Answer {
                text: Level::ALL[likeliest].word().to_owned(),
                response: Response { score, ..Response::default() },
                score,
                level_probabilities: Some(probabilities),
                finish: Finish::Stop,
                prompt_tokens,
                new_tokens: 1,
                prompt_version: prompt::current(Mode::Quick).version.to_owned(),
                ms: started.elapsed().as_millis() as u64,
            };
            sink(index, Event::Done(answer));
        }
        Ok(())
    }

    /// Probabilities of bad to excellent as the next token of each prompt, normalised over the five.
    fn level_probabilities(&self, inputs: &Inputs) -> Result<Vec<[f64; 5]>, AssessError> {
        let hidden = self.model.forward(inputs)?;
        let ends: Vec<u32> = inputs
            .lengths
            .iter()
            .scan(0_u32, |end, &length| {
                *end += length as u32;
                Some(*end - 1)
            })
            .collect();
        let last = hidden.index_select(&Tensor::new(ends.as_slice(), hidden.device())?, 0)?;
        let logits = self.model.text.logits(&last)?;
        let tokens = Tensor::new(&self.level_tokens, logits.device())?;
        let logits = logits.index_select(&tokens, 1)?.to_dtype(DType::F64)?;
        let mut result = Vec::with_capacity(ends.len());
        for row in 0..ends.len() {
            let row: Vec<f64> = logits.i(row)?.to_vec1()?;
            if row.iter().any(|logit| !logit.is_finite()) {
                return Err(AssessError::NotNumbers);
            }
            let largest = row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let raised: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
            let total: f64 = raised.iter().sum();
            result.push(std::array::from_fn(|level| raised[level] / total));
        }
        Ok(result)
    }

    fn reason(
        &self,
        indices: &[usize],
        mut answers: Vec<Partial>,
        requests: &[Request],
        inputs: &Inputs,
        started: Instant,
        sink: &mut dyn FnMut(usize, Event) -> Flow,
    ) -> Result<(), (Vec<usize>, AssessError)> {
        let samplings: Vec<Sampling> = indices.iter().map(|&index| requests[index].sampling).collect();
        let tokenizer = self.processor.tokenizer();
        let mut streams: Vec<_> = indices.iter().map(|_| tokenizer.decode_stream(true)).collect();
        let result =
            generate(self.model, inputs, &samplings, self.processor.end_of_text(), &mut |sequence, step| {
                let answer = &mut answers[sequence];
                let id = match step {
                    Step::Token(id) => id,
                    Step::End(finish) => {
                        let done = answer.finish(finish, inputs.lengths[sequence], started);
                        return sink(indices[sequence], Event::Done(done));
                    }
                };
                answer.tokens += 1;
                // A token that ends within a character gives nothing yet; the next one completes it.
                let Ok(Some(text)) = streams[sequence].step(id) else { return Flow::Continue };
                answer.text.push_str(&text);
                if sink(indices[sequence], Event::Text(text)) == Flow::Cancel {
                    return Flow::Cancel;
                }
                answer.complete = answer.text.contains(END_OF_ANSWER);
                if answer.complete { Flow::Cancel } else { Flow::Continue }
            });
        result.map_err(|e| {
            let open =
                indices.iter().zip(&answers).filter(|(_, answer)| !answer.done).map(|(index, _)| *index);
            (open.collect(), e.into())
        })?;
        Ok(())
    }
}

/// An answer while it is written.
struct Partial {
    prompt_version: &'static str,
    text: String,
    tokens: usize,
    /// It reached the end of the grammar, so that it was ended on purpose.
    complete: bool,
    done: bool,
}

impl Partial {
    fn new(prompt_version: &'static str, beginning: &str) -> Self {
        Self { prompt_version, text: beginning.to_owned(), tokens: 0, complete: false, done: false }
    }

    fn finish(&mut self, finish: Finish, prompt_tokens: usize, started: Instant) -> Answer {
        self.done = true;
        let response = grammar::parse(&self.text);
        Answer {
            score: response.score,
            text: std::mem::take(&mut self.text),
            response,
            level_probabilities: None,
            finish: if self.complete { Finish::Stop } else { finish },
            prompt_tokens,
            new_tokens: self.tokens,
            prompt_version: self.prompt_version.to_owned(),
            ms: started.elapsed().as_millis() as u64,
        }
    }
}
