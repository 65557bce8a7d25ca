//! Statistics against scipy on the same lists, with ties and tiny n.

use qponder_shared::stats::{Logistic, krcc, plcc, rmse, srcc};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// `None` where scipy has no number.
#[derive(Deserialize)]
struct Case {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    srcc: Option<f64>,
    plcc: Option<f64>,
    krcc: Option<f64>,
    logistic: Option<Mapped>,
}

#[derive(Deserialize)]
struct Mapped {
    plcc: f64,
    rmse: f64,
}

#[track_caller]
fn assert_near(found: Option<f64>, expected: Option<f64>, what: &str) {
    let near = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        (found, expected) => found == expected,
    };
    assert!(near, "{what}: {found:?}, scipy has {expected:?}");
}

#[test]
fn statistics_are_those_of_scipy() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/scipy/statistics.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    let fixture: Fixture = serde_json::from_str(&text).expect("its fields");
    assert!(fixture.cases.len() > 12);
    for case in &fixture.cases {
        let Case { name, x, y, .. } = case;
        assert_near(srcc(x, y), case.srcc, &format!("SRCC, {name}"));
        assert_near(plcc(x, y), case.plcc, &format!("PLCC, {name}"));
        assert_near(krcc(x, y), case.krcc, &format!("KRCC, {name}"));
        let fit = Logistic::fit(x, y);
        if x.len() < 5 || x.iter().all(|&value| value == x[0]) {
            assert_eq!(fit, None, "{name}");
        }
        let Some(expected) = &case.logistic else { continue };
        let fit = fit.unwrap_or_else(|| panic!("{name} has a fit"));
        let mapped: Vec<f64> = x.iter().map(|&x| fit.at(x)).collect();
        assert_near(plcc(&mapped, y), Some(expected.plcc), &format!("mapped PLCC, {name}"));
        assert_near(rmse(&mapped, y), Some(expected.rmse), &format!("mapped RMSE, {name}"));
    }
}
