//! How far two models agree, in numbers.

use leptos::prelude::*;
use qponder_shared::compare::{AttributeAgreement, ComparisonStatistics, ScoreAgreement};

use crate::format;

/// Two tables: attribute by attribute, and the scores.
#[component]
pub fn Agreement(statistics: ComparisonStatistics, left: String, right: String) -> impl IntoView {
    let attributes = statistics.attributes.iter().map(|one: &AttributeAgreement| {
        view! {
            <tr>
                <th scope="row">{format::capitalised(one.attribute.word())}</th>
                <td>{format::share(one.equal)}</td>
                <td>{format::share(one.within_one)}</td>
                <td>{signed(one.mean_difference)}</td>
                <td>{one.n}</td>
            </tr>
        }
    });
    let attributes = attributes.collect_view();
    let row = |name: String, one: ScoreAgreement| {
        view! {
            <tr>
                <th scope="row">{name}</th>
                <td>{format::number(one.srcc, 3)}</td>
                <td>{format::number(one.plcc, 3)}</td>
                <td>{format::number(one.rmse, 3)}</td>
                <td>{signed(one.mean_difference)}</td>
                <td>{one.n}</td>
            </tr>
        }
    };
    view! {
        <table class="numbers">
            <caption>"Levels"</caption>
            <thead><tr><td></td><th scope="col">"Equal"</th><th scope="col" title="Equal or neighbouring levels">"Within one"</th>
                <th scope="col" title=format!("{right} less {left}, in levels")>"Mean diff."</th><th scope="col">"n"</th></tr></thead>
            <tbody>{attributes}</tbody>
        </table>
        <table class="numbers">
            <caption>"Scores"</caption>
            <thead><tr><td></td><th scope="col">"SRCC"</th><th scope="col">"PLCC"</th><th scope="col" title="In points">"RMSE"</th>
                <th scope="col" title="Second less first, in points">"Mean diff."</th><th scope="col">"n"</th></tr></thead>
            <tbody>
                {row("Both models".to_owned(), statistics.scores)}
                {row(format!("{left} against labels"), statistics.left_labels)}
                {row(format!("{right} against labels"), statistics.right_labels)}
            </tbody>
        </table>
    }
}

fn signed(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), format::signed)
}
