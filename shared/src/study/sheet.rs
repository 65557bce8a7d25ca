//! What somebody is about to vote, and how keys fill it in.

use serde::{Deserialize, Serialize};

use super::{Correction, Preference, Rating, StudyTask};
use crate::{Attribute, Level, Score};

/// A vote that is not sent yet. It is what a draft keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sheet {
    /// The whole image.
    pub level: Option<Level>,
    pub levels: Vec<(Attribute, Level)>,
    pub preference: Option<Preference>,
    pub flag: String,
    /// The attribute that number keys rate; without one they rate the whole image.
    pub active: Option<Attribute>,
    /// The correction of a model's answer, once it was begun.
    pub correction: Option<Correction>,
}

/// The key of an attribute.
#[must_use]
pub fn key_of(attribute: Attribute) -> char {
    match attribute {
        Attribute::Sharpness => 's',
        Attribute::Noise => 'n',
        Attribute::Exposure => 'e',
        Attribute::Contrast => 'c',
        Attribute::Colour => 'o',
        Attribute::Compression => 'm',
    }
}

impl Sheet {
    /// What a key does to a vote of a task; whether it did anything.
    pub fn press(&mut self, task: StudyTask, key: &str) -> bool {
        let mut letters = key.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else { return false };
        if let Some(number @ 1..=5) = letter.to_digit(10) {
            return self.press_number(task, number as usize);
        }
        if task != StudyTask::Attributes {
            return false;
        }
        let letter = letter.to_ascii_lowercase();
        let Some(attribute) = Attribute::ALL.into_iter().find(|one| key_of(*one) == letter) else {
            return false;
        };
        self.active = if self.active == Some(attribute) { None } else { Some(attribute) };
        true
    }

    fn press_number(&mut self, task: StudyTask, number: usize) -> bool {
        if task == StudyTask::Pairs {
            let preference = match number {
                1 => Preference::First,
                2 => Preference::Same,
                3 => Preference::Second,
                _ => return false,
            };
            self.preference = Some(preference);
            return true;
        }
        let level = Level::ALL[number - 1];
        match self.active {
            None => self.level = Some(level),
            Some(attribute) => {
                self.rate(attribute, Some(level));
                self.active = None;
            }
        }
        true
    }

    /// Sets or takes back an attribute's level.
    pub fn rate(&mut self, attribute: Attribute, level: Option<Level>) {
        self.levels.retain(|(rated, _)| *rated != attribute);
        self.levels.extend(level.map(|level| (attribute, level)));
        self.levels.sort_by_key(|(rated, _)| *rated);
    }

    /// The level of an attribute.
    #[must_use]
    pub fn level_of(&self, attribute: Attribute) -> Option<Level> {
        self.levels.iter().find(|(rated, _)| *rated == attribute).map(|(_, level)| *level)
    }

    /// The vote, once it is complete.
    #[must_use]
    pub fn rating(&self, task: StudyTask) -> Option<Rating> {
        let score = self.level.and_then(|level| Score::clamped(level.value()));
        match task {
            StudyTask::Acr | StudyTask::Reasoning => Some(Rating::Score { score: score? }),
            StudyTask::Attributes => Some(Rating::Levels { score: score?, levels: self.levels.clone() }),
            StudyTask::Pairs => Some(Rating::Preference { preference: self.preference? }),
        }
    }

    /// The sheet that gives a vote, for going back to it.
    #[must_use]
    pub fn of_rating(rating: &Rating) -> Self {
        let level = rating.score().map(Score::level);
        match rating {
            Rating::Score { .. } | Rating::Skipped { .. } => Self { level, ..Self::default() },
            Rating::Levels { levels, .. } => Self { level, levels: levels.clone(), ..Self::default() },
            Rating::Preference { preference } => Self { preference: Some(*preference), ..Self::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(task: StudyTask, keys: &str) -> Sheet {
        let mut sheet = Sheet::default();
        for key in keys.chars() {
            sheet.press(task, &key.to_string());
        }
        sheet
    }

    #[test]
    fn numbers_rate_and_letters_choose_what() {
        let score = Score::clamped(4.0).expect("a score");
        for (task, keys, rating) in [
            (StudyTask::Acr, "4", Some(Rating::Score { score })),
            (StudyTask::Acr, "24", Some(Rating::Score { score })),
            (StudyTask::Acr, "n4", Some(Rating::Score { score })),
            (StudyTask::Acr, "n", None),
            (StudyTask::Acr, "9", None),
            (StudyTask::Attributes, "n2", None),
            (StudyTask::Pairs, "3", Some(Rating::Preference { preference: Preference::Second })),
            (StudyTask::Pairs, "5", None),
        ] {
            assert_eq!(pressed(task, keys).rating(task), rating, "{task:?} {keys}");
        }
        let levels = vec![(Attribute::Noise, Level::Poor), (Attribute::Colour, Level::Bad)];
        let sheet = pressed(StudyTask::Attributes, "o1nn4N2");
        assert_eq!(sheet.rating(StudyTask::Attributes), Some(Rating::Levels { score, levels }));
        assert_eq!(Sheet::of_rating(&sheet.rating(StudyTask::Attributes).expect("complete")), sheet);
    }

    #[test]
    fn a_draft_of_another_version_is_read_as_far_as_it_goes() {
        let sheet: Sheet = serde_json::from_str(r#"{"level":"Good","new":1}"#).unwrap_or_default();
        assert_eq!(sheet.correction, None);
        let sheet = pressed(StudyTask::Acr, "4");
        let body = serde_json::to_value(&sheet).expect("JSON");
        assert_eq!(serde_json::from_value::<Sheet>(body).expect("a sheet"), sheet);
    }
}
