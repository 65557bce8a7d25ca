//! A study's statistics: whom to trust, what the MOS are, and how models do against them.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::study::statistics::{ModelAgainstMos, PairStrengths, StudyStatistics};
use qponder_shared::subjective::mos::ItemMos;
use qponder_shared::subjective::report::{IntervalMethod, Screening, SubjectReport};
use qponder_shared::{Score, StudyId};
use web_sys::HtmlSelectElement;

use crate::api;
use crate::format::{number, plural, plural_of, sentence, share, signed};
use crate::parts::mos_plot::MosPlot;
use crate::parts::scatter::{Point, Scatter};
use crate::route::{Route, follow_link};
use crate::state::App;
use crate::studies;

/// In the order in which they are offered.
const SCREENINGS: [(Screening, &str, &str); 4] = [
    (Screening::None, "none", "None: everybody’s votes"),
    (Screening::Bt500, "bt500", "ITU-R BT.500-14: without outlying subjects"),
    (Screening::Pearson, "pearson", "ITU-T P.913: without subjects that do not correlate"),
    (
        Screening::BiasCorrected,
        "bias_corrected",
        "ITU-T P.910: bias corrected, consistent subjects weigh more",
    ),
];

/// The page at `/studies/{id}/statistics`.
#[component]
pub fn StatisticsPage(
    /// Which study.
    id: StudyId,
) -> impl IntoView {
    let app = App::get();
    document().set_title("Statistics · Q-Ponder");
    let screening = RwSignal::new("none");
    let made = RwSignal::new(None::<StudyStatistics>);
    let failure = RwSignal::new(None::<String>);
    Effect::new(move || {
        let chosen = screening.get();
        spawn_local(async move {
            match studies::statistics(id, chosen).await {
                Ok(answer) if screening.try_get_untracked() == Some(chosen) => {
                    drop(made.try_set(Some(answer)))
                }
                Ok(_) => {}
                Err(reason) => drop(failure.try_set(Some(sentence(&reason)))),
            }
        });
    });
    let choose = move |event: web_sys::Event| {
        let chosen = event_target::<HtmlSelectElement>(&event).value();
        if let Some((_, name, _)) = SCREENINGS.into_iter().find(|(_, name, _)| *name == chosen) {
            screening.set(name);
        }
    };
    view! {
        <div class="page is-wide">
            <p><a href=Route::Study(id).path() on:click=follow_link(app, Route::Study(id))>"The study"</a></p>
            <h1>"Statistics"</h1>
            <div class="form is-row">
                <div class="field">
                    <label for="screening">"Screening"</label>
                    <select id="screening" on:change=choose>
                        {SCREENINGS.map(|(_, name, words)| view! { <option value=name>{words}</option> })}
                    </select>
                </div>
            </div>
            {move || match (made.get(), failure.get()) {
                (Some(made), _) if made.report.subjects.iter().all(|subject| subject.n == 0) && made.pairs.is_none() => {
                    view! { <p class="muted">"Nobody has voted yet."</p> }.into_any()
                }
                (Some(made), _) => view! { <All made/> }.into_any(),
                (None, Some(failure)) => view! { <div class="warning" role="alert"><p>{failure}</p></div> }.into_any(),
                (None, None) => view! { <div class="skeleton block" aria-busy="true"></div> }.into_any(),
            }}
        </div>
    }
}

#[component]
fn All(made: StudyStatistics) -> impl IntoView {
    let agreement = &made.report.agreement;
    let alpha = number(agreement.alpha, 3);
    let interval = agreement.interval.map(|i| format!(", 95 % from {:.3} to {:.3}", i.low, i.high));
    let method = match made.report.interval_method {
        IntervalMethod::ClippedT => "Student’s t, clipped to the scale",
        IntervalMethod::ClippedNormal => "normal, of the model of P.910, clipped to the scale",
    };
    let rated = made.report.subjects.iter().any(|subject| subject.n > 0);
    let left_out = made.report.subjects.iter().filter(|subject| subject.left_out).count();
    view! {
        <p>
            {format!("{} by {}", plural(made.items.len(), "item"), plural_of(made.voters.len(), "person", "people"))}
            {(left_out > 0).then(|| format!(", {} left out", plural_of(left_out, "person", "people")))}
            {rated.then(|| view! { ". Krippendorff’s α (interval data) "<b class="tabular">{alpha}</b>{interval}"." })}
        </p>
        <Subjects made=made.clone()/>
        {made.pairs.clone().map(|pairs| view! { <Pairs pairs made=made.clone()/> })}
        {rated.then(|| view! {
            <section aria-labelledby="mos">
                <h2 id="mos">"Mean opinion scores"</h2>
                <MosPlot names=made.items.iter().map(|item| item.name.clone()).collect() items=made.report.items.clone()/>
                <p class="muted">{format!("Each line is an item with its 95 % interval ({method}).")}</p>
                <ItemTable made=made.clone()/>
            </section>
        })}
        {(rated && !made.models.is_empty()).then(|| view! { <Models made=made.clone()/> })}
    }
}

#[component]
fn Subjects(made: StudyStatistics) -> impl IntoView {
    let row = |at: usize, subject: &SubjectReport| {
        let voter = &made.voters[at];
        let care = &made.care[at];
        let verdict = match (subject.left_out, subject.bt500.rejected, subject.pearson.rejected) {
            (true, ..) => "left out",
            (false, true, true) => "BT.500 and P.913 would leave out",
            (false, true, false) => "BT.500 would leave out",
            (false, false, true) => "P.913 would leave out",
            (false, false, false) => "kept",
        };
        let why = if subject.left_out {
            subject.reason.clone()
        } else if subject.pearson.rejected {
            subject.pearson.reason.clone()
        } else {
            subject.bt500.reason.clone()
        };
        let is_doubtful = subject.left_out || subject.bt500.rejected || subject.pearson.rejected;
        view! {
            <tr class:is-doubtful=is_doubtful>
                <th scope="row">{voter.name.clone()}</th>
                <td>{subject.n}</td>
                <td>{voter.skipped}</td>
                <td>{subject.bias.map_or_else(|| "–".to_owned(), signed)}</td>
                <td>{number(subject.inconsistency, 2)}</td>
                <td>{number(subject.correlation, 2)}</td>
                <td>{share(care.gold.accuracy)}</td>
                <td>{number(care.repeats.mean_difference, 2)}</td>
                <td class="is-words is-text"><b>{verdict}</b><span class="muted">{format!(": {why}")}</span></td>
            </tr>
        }
    };
    view! {
        <section aria-labelledby="subjects">
            <h2 id="subjects">"People"</h2>
            <div class="table-frame" tabindex="0" role="region" aria-labelledby="subjects">
                <table>
                    <thead><tr>
                        <th scope="col">"Name"</th><th scope="col">"Votes"</th><th scope="col">"Skipped"</th>
                        <th scope="col" title="How much milder than the others (P.910)">"Bias"</th>
                        <th scope="col" title="Spread of the votes around quality plus bias (P.910)">"Inconsistency"</th>
                        <th scope="col" title="Pearson correlation with the MOS of all">"Correlation"</th>
                        <th scope="col" title="Gold items within their tolerance">"Gold"</th>
                        <th scope="col" title="Mean difference between the first and the second time">"Repeats"</th>
                        <th scope="col" class="is-words">"Verdict"</th>
                    </tr></thead>
                    <tbody>{made.report.subjects.iter().enumerate().map(|(at, subject)| row(at, subject)).collect_view()}</tbody>
                </table>
            </div>
        </section>
    }
}

#[component]
fn ItemTable(made: StudyStatistics) -> impl IntoView {
    let mut order: Vec<usize> = (0..made.items.len()).collect();
    let mos = |at: usize| made.report.items[at].mos.unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| mos(*b).total_cmp(&mos(*a)));
    let row = |at: usize| {
        let (item, what): (_, &ItemMos) = (&made.items[at], &made.report.items[at]);
        let image = item.images.first().copied();
        let level = what.mos.and_then(Score::clamped).map(|score| score.level().word());
        view! {
            <tr>
                <th scope="row">
                    {image.map(|id| view! { <a href=Route::Image(id).path() on:click=follow_link(App::get(), Route::Image(id))>
                        <img class="row-picture" src=api::thumbnail_url(id) alt="" loading="lazy"/>{item.name.clone()}
                    </a> })}
                </th>
                <td><b>{number(what.mos, 2)}</b></td><td class="is-words">{level}</td><td>{what.n}</td>
                <td>{number(what.deviation, 2)}</td>
                <td>{what.interval.map(|i| format!("{:.2} to {:.2}", i.low, i.high))}</td>
            </tr>
        }
    };
    let shown = order.len().min(SHOWN);
    view! {
        <div class="table-frame" tabindex="0" role="region" aria-label="Items">
            <table>
                <thead><tr>
                    <th scope="col">"Item"</th><th scope="col">"MOS"</th><th scope="col" class="is-words">"Level"</th>
                    <th scope="col">"n"</th><th scope="col">"Deviation"</th><th scope="col">"95 %"</th>
                </tr></thead>
                <tbody>{order.iter().take(SHOWN).map(|at| row(*at)).collect_view()}</tbody>
            </table>
        </div>
        {(order.len() > SHOWN).then(|| view! {
            <p class="muted">{format!("The best {shown} of {}; the API gives all of them.", order.len())}</p>
        })}
    }
}

/// Points that a plot draws at most.
const DRAWN: usize = 2000;
/// Items that the table shows at most.
const SHOWN: usize = 200;

#[component]
fn Models(made: StudyStatistics) -> impl IntoView {
    let row = |model: &ModelAgainstMos| {
        view! {
            <tr>
                <th scope="row">{format!("{}, {}", model.model, model.mode.name())}</th>
                <td>{model.fit.n}</td><td>{number(model.fit.srcc, 3)}</td><td>{number(model.fit.plcc, 3)}</td>
                <td>{format!("{} of {}", model.fit.outliers, model.fit.judged)}</td>
            </tr>
        }
    };
    let plots = made.models.iter().filter(|model| model.fit.n > 1).map(|model| {
        let named = format!("{}, {}", model.model, model.mode.name());
        let points = model.scores.iter().zip(&made.report.items).zip(&made.items);
        let points = points.filter_map(|((score, what), item)| {
            let (mos, score) = (what.mos?, (*score)?);
            let label = format!("{}: MOS {mos:.2}, score {score:.2}", item.name);
            Some(Point { x: mos, y: score, label, to: Route::Image(*item.images.first()?) })
        });
        let points: Vec<Point> = points.collect();
        let step = points.len().div_ceil(DRAWN).max(1);
        let note = match step {
            1 => format!("{named}: {}", plural(points.len(), "item")),
            step => format!("{named}: every {step}th of {} items", points.len()),
        };
        let points = points.into_iter().step_by(step).collect();
        view! { <Scatter points x_name="MOS".to_owned() y_name=named note/> }
    });
    view! {
        <section aria-labelledby="models">
            <h2 id="models">"Models against the MOS"</h2>
            <div class="table-frame" tabindex="0" role="region" aria-labelledby="models">
                <table>
                    <thead><tr>
                        <th scope="col">"Model"</th><th scope="col">"Items"</th><th scope="col">"SRCC"</th><th scope="col">"PLCC"</th>
                        <th scope="col" title="Scores outside of the MOS’s 95 % interval (ITU-T P.1401)">"Outliers"</th>
                    </tr></thead>
                    <tbody>{made.models.iter().map(row).collect_view()}</tbody>
                </table>
            </div>
            <div class="plots">{plots.collect_view()}</div>
        </section>
    }
}

#[component]
fn Pairs(pairs: PairStrengths, made: StudyStatistics) -> impl IntoView {
    let Some(strengths) = pairs.strengths else {
        let reason = pairs.reason.map(|reason| sentence(&reason));
        return view! { <p class="note">"There are no strengths yet: "{reason}</p> }.into_any();
    };
    let mut order: Vec<usize> = (0..pairs.images.len()).collect();
    order.sort_by(|a, b| strengths.items[*b].strength.total_cmp(&strengths.items[*a].strength));
    let name = |at: usize| {
        let id = pairs.images[at];
        made.items.iter().find(|item| item.images.first() == Some(&id)).map(|item| item.name.clone())
    };
    view! {
        <section aria-labelledby="strengths">
            <h2 id="strengths">"Strengths (Bradley–Terry)"</h2>
            <div class="table-frame" tabindex="0" role="region" aria-labelledby="strengths">
                <table>
                    <thead><tr><th scope="col">"Image"</th><th scope="col">"Strength"</th><th scope="col">"± 95 %"</th></tr></thead>
                    <tbody>{order.iter().take(SHOWN).map(|at| {
                        let one = &strengths.items[*at];
                        view! {
                            <tr>
                                <th scope="row"><img class="row-picture" src=api::thumbnail_url(pairs.images[*at]) alt="" loading="lazy"/>{name(*at)}</th>
                                <td>{format!("{:+.2}", one.strength)}</td><td>{format!("{:.2}", 1.96 * one.error)}</td>
                            </tr>
                        }
                    }).collect_view()}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}
