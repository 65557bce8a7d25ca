//! What a person recognises of a browser: `Firefox 140 on Linux`. The whole `User-Agent` is not kept.

use axum::http::{HeaderMap, header};

/// Longest name of a program that is no browser we know, in characters.
const MAX_NAME: usize = 60;

/// Marks of browsers, the more special before those that also claim to be the others.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// What the client of a request calls itself, in one short line; empty when it says nothing.
pub fn of(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    describe(agent.unwrap_or_default())
}

fn describe(agent: &str) -> String {
    let browser = BROWSERS.iter().find_map(|(mark, name)| {
        let (_, rest) = agent.split_once(mark)?;
        let version: String = rest.chars().take_while(char::is_ascii_digit).take(4).collect();
        Some(format!("{name} {version}").trim_end().to_owned())
    });
    let system = SYSTEMS.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser,
        // `curl/8.5.0`, `python-requests/2.32`: the first word says enough.
        (None, _) => {
            let word = agent.split_whitespace().next().unwrap_or_default();
            word.chars().filter(|letter| !letter.is_control()).take(MAX_NAME).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn browsers_have_the_names_that_people_know() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox 140 on Linux",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 \
                 Safari/537.36",
                "Chrome 156 on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 \
                 Safari/537.36 Edg/141.0.0.0",
                "Edge 141 on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.6 Mobile/15E148 Safari/604.1",
                "Safari 18 on iOS",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", ""),
            ("Firefox/", "Firefox"),
        ] {
            assert_eq!(describe(agent), expected, "{agent}");
        }
        assert_eq!(describe(&"x".repeat(5000)).len(), 60);
    }
}
