//! What a judge says of a model's reasoning.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use qponder_shared::prompt;
use qponder_shared::verdict::{Criterion, Verdict};
use serde::Serialize;

use super::estimate::groups;
use super::{Case, Estimate, Scored};
use crate::calls::{CallsError, Event, Limit, Unaskable};
use crate::endpoint::Picture;
use crate::judge::{Finding, Judge, Subject, known};

/// Answers with the lowest grades that a report shows.
const LOWEST: usize = 8;

/// How a judge grades a model's answers. Means are over the verdicts that could be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeReport {
    /// The judge's name at its endpoint.
    pub model: String,
    pub prompt_version: &'static str,
    /// Answers to be judged.
    pub answers: usize,
    /// Verdicts that could be read.
    pub verdicts: usize,
    /// Verdicts that could not.
    pub unreadable: usize,
    /// Answers on which no verdict came.
    pub failed: usize,
    /// Whether what is said is true, 0 to 10.
    pub accuracy: Option<Estimate>,
    /// Whether what decides the quality is said, 0 to 10.
    pub completeness: Option<Estimate>,
    /// Whether the score follows from the words, 0 to 10.
    pub reasonableness: Option<Estimate>,
    /// The answers with the lowest mean grades.
    pub lowest: Vec<Graded>,
    /// The limit that ended it before all answers were judged.
    pub limit: Option<Limit>,
    /// What else did.
    pub ended: Option<String>,
}

/// One answer with its grades.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graded {
    /// The manifest row's id.
    pub id: String,
    pub verdict: Verdict,
    /// What the model wrote.
    pub text: String,
}

impl JudgeReport {
    /// The mean of a criterion.
    #[must_use]
    pub fn mean(&self, criterion: Criterion) -> Option<Estimate> {
        match criterion {
            Criterion::Accuracy => self.accuracy,
            Criterion::Completeness => self.completeness,
            Criterion::Reasonableness => self.reasonableness,
        }
    }

    fn of(model: &str, cases: &[Case], scored: &[&Scored], findings: &[Finding]) -> Self {
        let judged: Vec<(&Case, &Scored, &Verdict)> = cases
            .iter()
            .zip(scored)
            .zip(findings)
            .filter_map(|((case, row), finding)| Some((case, *row, finding.verdict()?)))
            .collect();
        let references =
            groups(judged.iter().map(|(case, ..)| (case.dataset.as_str(), case.item.row.reference.as_str())));
        let [accuracy, completeness, reasonableness] = Criterion::ALL.map(|criterion| {
            let grades: Vec<f64> =
                judged.iter().map(|(.., verdict)| verdict.grade(criterion).get()).collect();
            Estimate::mean(&references, &grades)
        });
        let count = |is: fn(&Finding) -> bool| findings.iter().filter(|finding| is(finding)).count();
        let mut by_grade = judged.clone();
        by_grade.sort_by(|(.., a), (.., b)| a.share().total_cmp(&b.share()));
        let graded = by_grade.into_iter().take(LOWEST);
        Self {
            model: model.to_owned(),
            prompt_version: prompt::JUDGE.version,
            answers: scored.len(),
            verdicts: judged.len(),
            unreadable: count(|finding| matches!(finding, Finding::Unreadable(_))),
            failed: count(|finding| matches!(finding, Finding::Missing)),
            accuracy,
            completeness,
            reasonableness,
            lowest: graded
                .map(|(_, row, verdict)| Graded {
                    id: row.id.clone(),
                    verdict: verdict.clone(),
                    text: row.text.clone(),
                })
                .collect(),
            limit: None,
            ended: None,
        }
    }
}

/// Has every answer of a model in reasoning mode judged; `scored` belongs to `cases` one by one. What the judge did
/// not answer is in the report, and why: whoever calls says whether that is an error.
///
/// # Errors
/// That it was stopped; what was answered is in the judge's journal, where it keeps one.
pub fn judge_answers(
    judge: &mut Judge,
    cases: &[Case],
    scored: &[&Scored],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Event),
) -> Result<JudgeReport, CallsError> {
    let told: Vec<String> = cases.iter().map(|case| known(&case.item.row)).collect();
    let subject = |index: usize| {
        let case = &cases[index];
        let id = format!("{}/{}", case.dataset, case.item.row.id);
        let unaskable = |reason: String| Unaskable { id: id.clone(), reason };
        let bytes = std::fs::read(&case.item.path).map_err(|error| unaskable(error.to_string()))?;
        let picture = Picture::new(bytes).map_err(|error| unaskable(error.to_string()))?;
        let (known, answer) = (told[index].as_str(), scored[index].text.as_str());
        Ok(Subject { id: id.clone(), picture: Arc::new(picture), known, answer })
    };
    let count = cases.len().min(scored.len());
    let judged = judge.judge(count, &subject, stop, progress);
    let mut report = JudgeReport::of(judge.model(), cases, scored, &judged.findings);
    report.limit = judged.limit;
    match judged.ended {
        Some(error @ CallsError::Stopped { .. }) => return Err(error),
        error => report.ended = error.map(|error| error.to_string()),
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use qponder_shared::verdict;

    use super::super::describe::fixture::case;
    use super::*;

    #[test]
    fn means_are_over_what_could_be_read_and_the_rest_is_counted() {
        let (cases, scored): (Vec<Case>, Vec<Scored>) =
            (0..6).map(|id| case(id, 3.0, &[], &format!("text {id}"))).unzip();
        let read = |grade: usize| {
            let text = format!("{{\"accuracy\": {grade}, \"completeness\": 4, \"reasonableness\": 10}}");
            verdict::parse(&text).map_or_else(Finding::Unreadable, Finding::Verdict)
        };
        let findings = [read(8), read(2), Finding::Missing, read(5), read(11), Finding::Missing];
        let report = JudgeReport::of("m", &cases, &scored.iter().collect::<Vec<_>>(), &findings);
        assert_eq!((report.answers, report.verdicts, report.unreadable, report.failed), (6, 3, 1, 2));
        let accuracy = report.accuracy.expect("verdicts");
        assert_eq!(accuracy.value, 5.0);
        // Two photographs: one of 8 and 2, one of 5.
        let interval = accuracy.interval.expect("two photographs");
        assert_eq!((interval.low, interval.high), (5.0, 5.0));
        assert_eq!(report.mean(Criterion::Completeness).map(|mean| mean.value), Some(4.0));
        let lowest: Vec<&str> = report.lowest.iter().map(|graded| graded.text.as_str()).collect();
        assert_eq!(lowest, ["text 1", "text 3", "text 0"]);
        let none = JudgeReport::of("m", &cases[..1], &[&scored[0]], &[Finding::Missing]);
        assert_eq!((none.accuracy, none.failed), (None, 1));
    }
}
