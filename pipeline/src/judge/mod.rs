//! A judge behind an endpoint: a model that looks at an image, reads what another wrote about it, and grades that.
//!
//! It is shown the image, the answer, and what is known of the image ([`known`]); never the label, so that it grades
//! words and not the score's error, which needs no judge. What it says is read by [`verdict::parse`] alone: a verdict
//! that cannot be read and a call that fails are counted, and neither becomes a number.

mod known;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use qponder_shared::api::Sampling;
use qponder_shared::prompt;
use qponder_shared::recipe::{EndpointRecipe, SpendLimits};
use qponder_shared::verdict::{self, Fault, Verdict};

pub use known::known;

use crate::calls::{Answers, Asker, Calls, CallsError, Event, Limit, Request, Unaskable};
use crate::endpoint::Picture;

/// Room for the remarks of a judge, and for one that thinks before it answers.
const MAX_TOKENS: usize = 1024;

/// An answer to be judged.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Tells it from the others.
    pub id: String,
    /// What was looked at.
    pub picture: Arc<Picture>,
    /// What is known of the picture.
    pub known: &'a str,
    /// What was written about it.
    pub answer: &'a str,
}

/// What came of judging one answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    Verdict(Verdict),
    /// The judge answered, but gave no verdict that can be read.
    Unreadable(Vec<Fault>),
    /// No answer came.
    Missing,
}

impl Finding {
    /// The verdict, where there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Verdict(verdict) => Some(verdict),
            Self::Unreadable(_) | Self::Missing => None,
        }
    }
}

/// What came of judging some answers.
#[derive(Debug)]
pub struct Judged {
    /// One for each answer, in order.
    pub findings: Vec<Finding>,
    /// What the last request that failed died of.
    pub last_failure: Option<String>,
    /// What ended it before all were judged.
    pub limit: Option<Limit>,
    /// What else did.
    pub ended: Option<CallsError>,
}

impl Judged {
    /// Why an answer has no verdict: an example, for an error to show.
    #[must_use]
    pub fn example(&self) -> String {
        let faults = self.findings.iter().find_map(|finding| match finding {
            Finding::Unreadable(faults) => faults.first(),
            Finding::Verdict(_) | Finding::Missing => None,
        });
        let unreadable = faults.map(|fault| format!("what it said cannot be read: {fault}"));
        unreadable.or_else(|| self.last_failure.clone()).unwrap_or_else(|| "it was not asked".to_owned())
    }
}

/// A judge in the course of one run.
pub struct Judge {
    model: String,
    asker: Asker,
}

impl Judge {
    /// A judge that keeps no journal; its key comes from the environment.
    ///
    /// # Errors
    /// When the key is not there.
    pub fn new(endpoint: &EndpointRecipe, limits: &SpendLimits) -> Result<Self, CallsError> {
        Ok(Self { model: endpoint.model.clone(), asker: Asker::new(endpoint, limits, 0)? })
    }

    /// Keeps every call in this journal and repeats none that it holds an answer to.
    ///
    /// # Errors
    /// When the journal cannot be read or another run holds it.
    pub fn with_journal(self, path: &Path) -> Result<Self, CallsError> {
        let (asker, _) = self.asker.with_journal(path)?;
        Ok(Self { asker, ..self })
    }

    /// See [`Asker::reach`].
    ///
    /// # Errors
    /// When nobody answers, or the key is not taken.
    pub fn reach(&self) -> Result<(), CallsError> {
        self.asker.reach()
    }

    /// The judge's name at its endpoint.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The calls so far, those of a journal's earlier runs included.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        self.asker.calls()
    }

    /// Judges `count` answers, which `subject` gives by their numbers.
    ///
    /// When `stop` is set, running calls end and what is there is given.
    pub fn judge<'a>(
        &mut self,
        count: usize,
        subject: &(dyn Fn(usize) -> Result<Subject<'a>, Unaskable> + Sync),
        stop: &AtomicBool,
        progress: &mut dyn FnMut(&Event),
    ) -> Judged {
        // The most likely verdict.
        let sampling = Sampling { max_new_tokens: MAX_TOKENS, ..Sampling::default() };
        let model = &self.model;
        let request = |index: usize| {
            let Subject { id, picture, known, answer } = subject(index)?;
            let id = format!("{id}@{}", prompt::JUDGE.version);
            Ok(Request::new(model, id, prompt::judged(known, answer), picture, sampling))
        };
        let Answers { texts, last_failure, limit, ended, .. } =
            self.asker.ask(count, &request, stop, progress);
        let finding = |text: Option<String>| match text.map(|text| verdict::parse(&text)) {
            None => Finding::Missing,
            Some(Err(faults)) => Finding::Unreadable(faults),
            Some(Ok(verdict)) => Finding::Verdict(verdict),
        };
        Judged { findings: texts.into_iter().map(finding).collect(), last_failure, limit, ended }
    }
}
