//! Starting other programs: with which environment, and what is said when one fails.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The cargo that runs this xtask, with the environment that a person's own call would have.
///
/// `cargo run` leaves variables of the xtask package and its library path behind. Handing them on would
/// make build scripts run again whenever cargo is called by turns from here and from a shell.
pub fn cargo(root: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    remove_outer_cargo(&mut command);
    command
}

/// Removes what `cargo run` added to the environment.
pub fn remove_outer_cargo(command: &mut Command) {
    let added_prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if added_prefixes.iter().any(|prefix| text.starts_with(prefix)) || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(&name);
        }
    }
    match library_path_before_cargo() {
        Some(path) => command.env("LD_LIBRARY_PATH", path),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
}

/// `LD_LIBRARY_PATH` without the target folders and the toolchain's `lib` that `cargo run` put in front.
fn library_path_before_cargo() -> Option<OsString> {
    let path = env::var_os("LD_LIBRARY_PATH")?;
    let target = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let toolchain =
        env::var_os("CARGO").and_then(|cargo| Some(Path::new(&cargo).parent()?.parent()?.to_path_buf()));
    let is_cargos = |entry: &PathBuf| {
        [&target, &toolchain].into_iter().flatten().any(|added_below| entry.starts_with(added_below))
    };
    let kept: Vec<PathBuf> = env::split_paths(&path).filter(|entry| !is_cargos(entry)).collect();
    if kept.is_empty() { None } else { env::join_paths(kept).ok() }
}

/// Shows the command, runs it to its end, and fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    eprintln!("    $ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs the command and returns what it printed; nothing is shown unless it fails.
pub fn read(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first executable of that name on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The command as a person would type it.
fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let shown = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(shown).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
