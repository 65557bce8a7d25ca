//! axe-core, which finds what keeps people from using a page, in the page that a browser shows.
//!
//! It comes in through the DevTools, to which the page's content security policy does not apply; the policy
//! stays as strict as it is.

use std::collections::BTreeMap;

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

/// What was found on the pages of a test, and in which views.
#[derive(Default)]
pub struct Findings(BTreeMap<String, Vec<String>>);

impl Findings {
    /// Looks at the page in all [`VIEWS`].
    pub fn look(&mut self, browser: &Browser, page: &str) {
        for (theme, width) in VIEWS {
            browser.resize(width, 900);
            let _ = browser.script("document.documentElement.dataset.theme = arguments[0]", &[json!(theme)]);
            for violation in violations(browser) {
                self.0.entry(format!("{page}: {violation}")).or_default().push(format!("{theme} {width}"));
            }
        }
        browser.resize(1280, 900);
    }

    /// Fails with a list of what is serious or critical.
    ///
    /// # Panics
    /// When there is any.
    pub fn assert_none(self) {
        let lines: Vec<_> =
            self.0.iter().map(|(what, views)| format!("{what}\n    in {}", views.join(", "))).collect();
        assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
    }
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
