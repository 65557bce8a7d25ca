//! The report: rates, ratios and the machine that gave them, in Markdown.

use std::{fmt::Write as _, fs, process::Command, thread};

use anyhow::Result;
use serde_json::Value;

use super::parts::{Part, Rate};
use crate::{process, workspace::Workspace};

/// One figure of both sides.
#[derive(Debug)]
pub struct Row {
    part: &'static str,
    label: &'static str,
    ours: Option<f64>,
    peer: Option<f64>,
    less: bool,
    aim: Option<f64>,
    peer_name: Option<String>,
}

impl Row {
    /// Picks one rate out of the two JSON lines. A figure that a side did not print stays empty.
    pub fn new(part: &Part, rate: &Rate, ours: &Value, peer: Option<&Value>) -> Self {
        let figure = |line: &Value| line.pointer(rate.key).and_then(Value::as_f64);
        Self {
            part: part.name,
            label: rate.label,
            ours: figure(ours),
            peer: peer.and_then(figure),
            less: rate.less,
            aim: rate.aim,
            peer_name: peer.and_then(|line| line["peer"].as_str()).map(str::to_owned),
        }
    }

    /// By how much ours is better.
    fn ratio(&self) -> Option<f64> {
        let (ours, peer) = (self.ours?, self.peer?);
        Some(if self.less { peer / ours } else { ours / peer })
    }
}

/// The whole document.
pub fn render(workspace: &Workspace, rows: &[Row]) -> Result<String> {
    let mut text = String::from("# First light: our commands against their peers\n\n");
    writeln!(text, "{}", provenance(workspace, "cargo xtask bench")?)?;
    writeln!(text, "Both sides run in the same run, one after the other, with the same number of threads.")?;
    writeln!(text, "Ratios above 1 mean that ours is faster, or needs less.\n")?;
    writeln!(text, "| work | rate | ours | peer | ratio | aim |\n|---|---|---:|---:|---:|---:|")?;
    for row in rows {
        let ratio = row.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}×"));
        let aim = row.aim.map_or_else(String::new, |aim| format!("{aim:.1}×"));
        let (ours, peer) = (shown(row.ours), shown(row.peer));
        writeln!(text, "| {} | {} | {ours} | {peer} | {ratio} | {aim} |", row.part, row.label)?;
    }
    let mut peers: Vec<&str> = rows.iter().filter_map(|row| row.peer_name.as_deref()).collect();
    peers.dedup();
    if peers.is_empty() {
        writeln!(text, "\nThe peers could not be installed on this machine, so there are no ratios.")?;
    } else {
        writeln!(text, "\nPeers: {}.", peers.join("; "))?;
    }
    Ok(text)
}

/// When, of what and where something was measured.
pub fn provenance(workspace: &Workspace, command: &str) -> Result<String> {
    let date = process::read(Command::new("date").args(["--utc", "+%F"]))?;
    let commit = process::read(
        Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(workspace.root()),
    );
    let commit = commit.map_or(String::new(), |commit| format!(", commit {commit}"));
    Ok(format!("Measured by `{command}` on {date}{commit}; {}.", hardware()))
}

/// Three significant figures, as much as such a measurement bears.
fn shown(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_owned(),
        Some(rate) if rate >= 100.0 => format!("{rate:.0}"),
        Some(rate) if rate >= 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.2}"),
    }
}

fn hardware() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {threads} hardware threads")
}

#[cfg(test)]
mod tests {
    use super::{Row, shown};

    #[test]
    fn ratios_above_one_are_ours_to_boast_of() {
        let row = |less| Row {
            part: "part",
            label: "label",
            ours: Some(2.0),
            peer: Some(8.0),
            less,
            aim: None,
            peer_name: None,
        };
        assert_eq!(row(false).ratio(), Some(0.25));
        assert_eq!(row(true).ratio(), Some(4.0));
    }

    #[test]
    fn rates_have_three_figures() {
        assert_eq!(shown(Some(1234.5)), "1234");
        assert_eq!(shown(Some(56.78)), "56.8");
        assert_eq!(shown(Some(0.4567)), "0.46");
        assert_eq!(shown(None), "–");
    }
}
