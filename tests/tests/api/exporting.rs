//! `qponder export`.

use std::process::Command;

use qponder_tests::server::{binary, data_dir, root};

#[test]
fn an_export_reads_back_and_mistakes_are_one_line() {
    let place = data_dir();
    let fixtures = root().join("tests/fixtures");
    let (base, adapter) = (fixtures.join("transformers/nested-f32-tied"), fixtures.join("peft/adapter"));
    let (base, adapter) = (base.to_str().expect("a path"), adapter.to_str().expect("a path"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        let output =
            command.arg("export").args(arguments).current_dir(place.path()).output().expect("it runs");
        (output.status.success(), String::from_utf8(output.stderr).expect("text"))
    };
    let fine = run(&["--model", base, "--out", "plain", "--dtype", "bf16", "--shard-size", "20KB"]);
    assert_eq!(fine, (true, String::new()));
    assert!(place.path().join("plain/model.safetensors.index.json").is_file());
    let fine = run(&["merge", "--model", "plain", "--adapter", adapter, "--out", "merged"]);
    assert_eq!(fine, (true, String::new()));
    let fine = run(&["gguf", "--model", base, "--out", "gguf", "--quant", "q4_0", "--shard-size", "10KB"]);
    assert_eq!(fine, (true, String::new()));
    for file in ["model-q4_0.gguf", "mmproj-q4_0.gguf", "manifest.json"] {
        assert!(place.path().join("gguf").join(file).is_file(), "{file}");
    }
    for (arguments, words) in [
        (&["gguf", "--model", base, "--out", "gguf"][..], "--force"),
        (&["gguf", "--model", "gguf", "--out", "x"], "config.json"),
        (&["--model", base, "--out", "plain"], "--force"),
        (&["--model", "plain", "--out", "plain", "--force"], "itself"),
        (&["--model", "nowhere", "--out", "x"], "nowhere"),
        (&["merge", "--model", base, "--adapter", base, "--out", "x"], "adapter_config.json"),
    ] {
        let (success, stderr) = run(arguments);
        assert!(!success && stderr.lines().count() == 1 && stderr.contains(words), "{arguments:?}: {stderr}");
    }
    assert!(!place.path().join("x").exists(), "something was written");
}
