//! axe-core, which finds what keeps people from using a page, in the page that a browser shows.
//!
//! It comes in through the DevTools, to which the page's content security policy does not apply; the policy
//! stays as strict as it is.

use serde_json::{Value, json};

use crate::browser::Browser;

/// As published; see `tests/assets/axe/README.md`.
const AXE: &str = include_str!("../assets/axe/axe.min.js");

/// Ends what moves, so that colours are the final ones, and runs the rules of WCAG 2.1 A and AA.
const RUN: &str = "(async () => {
    for (const animation of document.getAnimations()) {
        try { animation.finish() } catch { animation.cancel() }
    }
    const results = await axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'],
        resultTypes: ['violations'],
        preload: false,
    });
    return results.violations.map(({ id, impact, help, nodes }) => ({
        id, impact, help,
        nodes: nodes.map(({ target, html, failureSummary }) => ({ target, html, failureSummary })),
    }));
})()";

/// Themes and widths in which people see a page.
pub const VIEWS: [(&str, u32); 4] = [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)];

/// Fails with a list of what is serious or critical, in any of the [`VIEWS`].
pub fn assert_accessible(browser: &Browser, page: &str) {
    let mut found = Vec::new();
    for (theme, width) in VIEWS {
        browser.resize(width, 900);
        let _ = browser.script("document.documentElement.dataset.theme = arguments[0]", &[json!(theme)]);
        let violations = violations(browser);
        found.extend(
            violations.iter().map(|violation| format!("{page}, {theme}, {width} pixels: {violation}")),
        );
    }
    browser.resize(1280, 900);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

/// What is serious or critical on the page as it is: rule, place and what to do.
#[must_use]
pub fn violations(browser: &Browser) -> Vec<String> {
    if browser.evaluate("typeof axe") != "object" {
        let _ = browser.evaluate(&format!("{AXE};0"));
    }
    let all = browser.evaluate(RUN);
    let all = all.as_array().unwrap_or_else(|| panic!("axe found {all}"));
    all.iter().filter(|one| one["impact"] == "serious" || one["impact"] == "critical").map(describe).collect()
}

fn describe(violation: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().replace('\n', " ");
    let mut text =
        format!("{} ({}): {}", word(&violation["id"]), word(&violation["impact"]), word(&violation["help"]));
    for node in violation["nodes"].as_array().into_iter().flatten().take(5) {
        let html: String = word(&node["html"]).chars().take(160).collect();
        text.push_str(&format!(
            "\n    {}: {html}\n        {}",
            node["target"],
            word(&node["failureSummary"])
        ));
    }
    text
}
