//! A machine whose clock is wrong, stands still, or is set while somebody works.

use qponder_tests::site::{open_as, votes};
use serde_json::json;

use super::Place;

/// The page's clock: off by what `skew` says, or stopped; and `ahead`, how long the page has been open in
/// truth.
const CLOCK: &str = "(() => {
    const Right = Date, now = Right.now.bind(Right), run = performance.now.bind(performance);
    const clock = window.clock = { skew: 0, stopped: null, ahead: 0 };
    const shown = () => clock.stopped ?? now() + clock.skew;
    window.Date = class extends Right {
        constructor(...parts) { parts.length ? super(...parts) : super(shown()); }
        static now() { return shown(); }
    };
    performance.now = () => run() + clock.ahead;
})()";
/// Ten years in milliseconds.
const DECADE: i64 = 10 * 365 * 24 * 3600 * 1000;

#[test]
fn browser_a_wrong_clock_changes_nothing() {
    let place = Place::new();
    let study = place.study("acr");
    let browser = open_as("wrong_clock", &place.server.client.url, "ada");
    browser.shows("brook.jpg");
    browser.before_every_page(CLOCK);
    browser.goto(&place.annotate(&study));
    browser.shows("The whole image");
    let set = |name: &str, value: serde_json::Value| {
        let _ = browser.script("window.clock[arguments[0]] = arguments[1]", &[json!(name), value]);
    };
    let year = || browser.script("return new Date().getFullYear()", &[]).as_i64().unwrap_or_default();
    let this_year = year();

    // Ahead, back, and further back between looking and voting.
    for (done, (before, after)) in [(0, DECADE), (DECADE, -DECADE), (-DECADE, -2 * DECADE)].iter().enumerate()
    {
        set("skew", json!(before));
        browser.press("3");
        browser.shows("Draft saved");
        set("skew", json!(after));
        assert_eq!((year() - this_year).signum(), after.signum(), "the clock is not wrong");
        browser.press(&(done + 1).to_string());
        browser.press("\u{e007}");
        browser.wait_until("it has arrived", || votes(&place.admin, &study) == done + 1);
        browser.shows("The whole image");
        assert!(!browser.text().contains("Time for a break"));
    }
    // A clock that stands still does not make two votes one.
    set("stopped", json!(0));
    browser.press("4");
    browser.press("\u{e007}");
    browser.shows("That was all.");
    browser.press("z");
    browser.shows("The whole image");
    browser.press("5");
    browser.press("\u{e007}");
    browser.wait_until("the new vote has arrived", || place.all_votes() == 5);
    browser.shows("That was all.");

    let row =
        |column: &str| place.query(&format!("select json_agg({column} order by created_at) from votes"));
    assert_eq!(row("score"), json!([1, 2, 3, 4, 5]), "in the order in which they were given");
    let longest = row("ms").as_array().and_then(|all| all.iter().filter_map(|ms| ms.as_i64()).max());
    assert!(longest.is_some_and(|ms| (1..600_000).contains(&ms)), "{longest:?} ms on one image");
    let apart =
        place.query("select count(*) from votes where abs(extract(epoch from now() - created_at)) > 600");
    assert_eq!(apart, 0, "the server's own time counts");
    let statistics = place.admin.get(&format!("/api/v1/studies/{study}/statistics"));
    assert_eq!(statistics.status, 200, "{}", statistics.json());
}

#[test]
fn browser_a_break_comes_after_work_and_not_after_a_clock_was_set() {
    let place = Place::new();
    let study = place.study("acr");
    let browser = open_as("break", &place.server.client.url, "ada");
    browser.shows("brook.jpg");
    browser.before_every_page(CLOCK);
    browser.goto(&place.annotate(&study));
    browser.shows("The whole image");
    // Back by years, and 21 minutes of work: the break comes all the same.
    let _ = browser.script("window.clock.skew = arguments[0]", &[json!(-DECADE)]);
    let _ = browser.script("window.clock.ahead = 21 * 60 * 1000", &[]);
    browser.press("3");
    browser.press("\u{e007}");
    browser.shows("Time for a break.");
    browser.click("I am back");
    browser.shows("The whole image");
    browser.press("3");
    browser.press("\u{e007}");
    browser.wait_until("it has arrived", || votes(&place.admin, &study) == 2);
    browser.shows("The whole image");
    assert!(!browser.text().contains("Time for a break"), "once is enough");
}
