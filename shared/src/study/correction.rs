//! A model's answer while somebody corrects it, attribute by attribute.

use serde::{Deserialize, Serialize};

use super::check::{self, Unacceptable};
use crate::grammar::{self, Observation, Response};
use crate::{AssessmentId, Attribute, Level, Score};

/// A response that is being edited: every attribute has its place, whatever the model left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// The answer that it began from.
    pub source: Option<AssessmentId>,
    /// All attributes in their order.
    pub attributes: Vec<Observation>,
    pub summary: String,
    /// As it is typed.
    pub score: String,
}

impl Correction {
    /// Begins from a response; nothing is invented where it has gaps.
    #[must_use]
    pub fn of(response: &Response, source: Option<AssessmentId>) -> Self {
        let attributes = Attribute::ALL.map(|attribute| {
            let known = response.attributes.iter().find(|observation| observation.attribute == attribute);
            known.cloned().unwrap_or(Observation { attribute, text: String::new(), level: None })
        });
        Self {
            source,
            attributes: attributes.to_vec(),
            summary: response.summary.clone(),
            score: response.score.map(|score| score.to_string()).unwrap_or_default(),
        }
    }

    /// The judgement of an attribute.
    #[must_use]
    pub fn observation(&self, attribute: Attribute) -> Option<&Observation> {
        self.attributes.iter().find(|observation| observation.attribute == attribute)
    }

    /// Changes the words about an attribute; they are one line.
    pub fn write(&mut self, attribute: Attribute, words: &str) {
        if let Some(observation) = self.find(attribute) {
            observation.text = one_line(words);
        }
    }

    /// Changes the level of an attribute.
    pub fn rate(&mut self, attribute: Attribute, level: Option<Level>) {
        if let Some(observation) = self.find(attribute) {
            observation.level = level;
        }
    }

    fn find(&mut self, attribute: Attribute) -> Option<&mut Observation> {
        self.attributes.iter_mut().find(|observation| observation.attribute == attribute)
    }

    /// The annotation in the response grammar.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn text(&self) -> Result<String, Unacceptable> {
        let score: f64 = self.score.trim().replace(',', ".").parse().unwrap_or(f64::NAN);
        let score = Score::new(score).map_err(|_| {
            let typed: String = self.score.trim().chars().take(20).collect();
            Unacceptable::Faults(format!("{typed:?} is no score from 1.00 to 5.00"))
        })?;
        let text = grammar::write(&self.attributes, &one_line(&self.summary), score);
        check::annotation(&text)?;
        Ok(text)
    }
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::parse;

    const WHOLE: &str = "<think>\nsharpness: crisp (good)\nnoise: grain (poor)\nexposure: even (good)\n\
        contrast: fine (good)\ncolour: true (good)\ncompression: none (excellent)\nGrain tells.\n</think>\n\
        <answer>2.50</answer>";

    #[test]
    fn a_complete_answer_comes_back_as_it_was() {
        let correction = Correction::of(&parse(WHOLE), None);
        assert_eq!(correction.text().map(|text| parse(&text)), Ok(parse(WHOLE)));
    }

    #[test]
    fn gaps_and_traps_are_told() {
        let mut correction = Correction::of(&parse(WHOLE), None);
        correction.write(Attribute::Noise, "two\nlines\u{a0}here");
        assert_eq!(
            correction.observation(Attribute::Noise).map(|noise| noise.text.as_str()),
            Some("two lines here")
        );
        for spoil in [
            (|one: &mut Correction| one.score = "6".into()) as fn(&mut Correction),
            |one| one.score = String::new(),
            |one| one.summary = " \n".into(),
            |one| one.rate(Attribute::Colour, None),
            |one| one.summary = "noise: I say it again (bad)".into(),
            |one| one.summary = "</think>".into(),
        ] {
            let mut spoiled = correction.clone();
            spoil(&mut spoiled);
            assert!(spoiled.text().is_err(), "{spoiled:?}");
        }
        assert!(Correction::of(&parse(""), None).text().is_err());
    }
}
