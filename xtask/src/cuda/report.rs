//! What `cuda check` found, as a page: right or wrong, and speeds beside the peer's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

/// A measurement: seconds, tokens, and the GPU's memory at most.
type Measured = BTreeMap<(String, String), Value>;

/// Reads the lines of `check-device --json`, or of the peer's script, which prints the same.
pub fn speeds(output: &str) -> Result<Measured> {
    let mut measured = Measured::new();
    for line in output.lines().filter(|line| line.contains("\"speed\"")) {
        let value: Value = serde_json::from_str(line).with_context(|| format!("`{line}` is no JSON"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        measured.insert((text(&value["size"]), text(&value["speed"]["what"])), value["speed"].clone());
    }
    Ok(measured)
}

/// The part of an earlier page that a person wrote: its sections, from the first heading on.
pub fn sections(page: &str) -> &str {
    page.find("\n## ").map_or("", |start| &page[start..])
}

/// The page up to its sections.
pub fn render(hardware: &str, date: &str, ours: &str, theirs: Option<&str>) -> Result<String> {
    let (own, peer) = (speeds(ours)?, theirs.map(speeds).transpose()?.unwrap_or_default());
    let parity = ours.lines().filter(|line| line.contains("\"parity\"")).count();
    let wrong = ours.lines().filter(|line| line.contains("\"right\":false")).count();
    let mut page = format!(
        "# On a GPU\n\nMeasured by `cargo xtask cuda check` on {date}: {hardware}. Of {parity} results of operations, \
         nano and its gradients, {wrong} differ from the CPU by more than rounding.\n\n\
         Random weights, one image of 1,296 tokens (nano: 324), answers of 128 tokens, bf16; training with adapters \
         of rank 16 and recomputation. The fastest of three runs. Tokens of prefill and SFT are the image's and the \
         text's, those of decoding and GRPO the answers'. The peer is transformers with PEFT on the same GPU, \
         before or after, never together.\n\n\
         | size | work | tokens/s | peer | ratio | memory | peer |\n|---|---|---:|---:|---:|---:|---:|\n"
    );
    for ((size, what), speed) in &own {
        let rate = |speed: &Value| Some(speed["tokens"].as_f64()? / speed["seconds"].as_f64()?);
        let memory =
            |speed: &Value| speed["peak_bytes"].as_f64().map(|bytes| format!("{:.1} GB", bytes / 1e9));
        let other = peer.get(&(size.clone(), what.clone()));
        let shown = |rate: Option<f64>| rate.map_or("not run".to_owned(), |rate| format!("{rate:.0}"));
        let (own_rate, peer_rate) = (rate(speed), other.and_then(rate));
        let ratio = own_rate.zip(peer_rate).map_or(String::new(), |(own, peer)| format!("{:.2}", own / peer));
        writeln!(
            page,
            "| {size} | {what} | {} | {} | {ratio} | {} | {} |",
            shown(own_rate),
            shown(peer_rate),
            memory(speed).unwrap_or_default(),
            other.and_then(memory).unwrap_or_default(),
        )?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::{render, sections};

    #[test]
    fn speeds_stand_beside_the_peers() {
        let line = |seconds: f64| {
            format!(
                r#"{{"size":"3b","speed":{{"what":"prefill","tokens":1000,"seconds":{seconds},"peak_bytes":8000000000}}}}"#
            )
        };
        let ours = format!("{}\n{}\n", r#"{"parity":{"what":"linear"},"right":true}"#, line(0.5));
        let page = render("a GPU", "2026-01-01", &ours, Some(&line(1.0))).expect("a page");
        assert!(page.contains("| 3b | prefill | 2000 | 1000 | 2.00 | 8.0 GB | 8.0 GB |"), "{page}");
        assert!(page.contains("Of 1 results"), "{page}");
        let alone = render("a GPU", "2026-01-01", &ours, None).expect("a page");
        assert!(alone.contains("| 3b | prefill | 2000 | not run |  | 8.0 GB |  |"), "{alone}");
    }

    #[test]
    fn sections_of_an_earlier_page_are_kept() {
        let page = render("a GPU", "2026-01-01", "", None).expect("a page");
        assert_eq!(sections(&page), "");
        let written = "\n## What was found\n\n- Launches.\n\n## Next\n\nProfile.\n";
        assert_eq!(sections(&(page + written)), written);
    }
}
