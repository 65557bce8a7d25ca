//! `qponder assess`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use qponder_tests::pictures::png;
use qponder_tests::server::{binary, data_dir, model};
use serde_json::Value;

fn assess(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("assess").args(["--max-new-tokens", "40"]).args(arguments).current_dir(directory);
    command.env("QPONDER_MODEL", model()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn json_has_one_object_a_file() {
    let photos = data_dir();
    fs::create_dir(photos.path().join("more")).expect("a folder");
    fs::write(photos.path().join("more/a.png"), png(70, 50, 1)).expect("a file");
    fs::write(photos.path().join("more/ignored.txt"), "text").expect("a file");
    fs::write(photos.path().join("b.png"), png(50, 70, 2)).expect("a file");
    let fine = assess(photos.path(), &["--json", "--mode", "quick", "--seed", "5", "."]);
    assert!(fine.status.success(), "{}", text(&fine.stderr));

    fs::write(photos.path().join("broken.png"), "not a png").expect("a file");
    let output = assess(
        photos.path(),
        &["--json", "--mode", "quick", "--seed", "5", "b.png", "broken.png", "more", "gone.png"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines.iter().map(|line| &line["file"]).collect::<Vec<_>>(),
        ["b.png", "broken.png", "more/a.png", "gone.png"]
    );
    let keys: Vec<_> = lines[0].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["attributes", "file", "mode", "model", "ms", "parse_ok", "reasoning", "score", "seed"]);
    assert_eq!((&lines[0]["seed"], &lines[0]["mode"]), (&5.into(), &"quick".into()));
    assert!(lines[0]["score"].is_f64());
    assert!(lines[1]["error"].as_str().is_some_and(|error| error.contains("text file")), "{}", lines[1]);
    assert_eq!(lines[1].as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn people_get_text_or_a_table() {
    let photos = data_dir();
    for name in ["a.png", "b.png"] {
        fs::write(photos.path().join(name), png(60, 60, name.as_bytes()[0])).expect("a file");
    }
    let table = assess(photos.path(), &["--mode", "quick", "a.png", "b.png"]);
    let rows: Vec<_> = text(&table.stdout).lines().map(str::to_owned).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(
        rows[0].contains("score") && rows[1].ends_with("a.png") && rows[2].ends_with("b.png"),
        "{rows:?}"
    );
    let single = assess(photos.path(), &["a.png"]);
    assert!(single.status.success(), "{}", text(&single.stderr));
    let last = text(&single.stdout).lines().last().expect("a last line").to_owned();
    assert!(last.starts_with("a.png: "), "{last}");
}

#[test]
fn mistakes_are_one_line_and_a_closed_pipe_is_none() {
    let photos = data_dir();
    fs::write(photos.path().join("a.png"), png(60, 60, 1)).expect("a file");
    for (arguments, words) in [
        (&["nowhere.png"][..], "nowhere.png"),
        (&["--model", "/no/such/model", "a.png"], "/no/such/model"),
        (&["--temperature", "99", "a.png"], "temperature"),
    ] {
        let output = assess(photos.path(), arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr.lines().count() == 1 && stderr.contains(words), "{arguments:?}: {stderr}");
    }

    let mut child = Command::new(binary())
        .args(["assess", "--max-new-tokens", "40", "a.png"])
        .current_dir(photos.path())
        .env("QPONDER_MODEL", model())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", text(&ended.stderr));
}

#[test]
fn other_commands_end_without_a_word_when_nobody_reads() {
    for (arguments, code) in [(&["recipe", "show-defaults", "grpo"][..], 141), (&["recipe", "--help"], 0)] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = Command::new(binary()).args(arguments).stdout(writer).stderr(Stdio::piped()).output();
        let ended = ended.expect("it runs");
        let said = text(&ended.stderr);
        assert!(
            said.is_empty() && ended.status.code() == Some(code),
            "{arguments:?}: {}, {said}",
            ended.status
        );
    }
}
