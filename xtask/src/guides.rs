//! `cargo xtask guides`: the guides for contributors, followed literally in a copy of the sources. Each block with a file name
//! is applied there, and each command is run. Tests apply the blocks; compiling them would build the workspace once more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use manifold_e2e::cargo_command::cargo_command;

use crate::{build, progress};

const GUIDES: [&str; 2] = ["docs/guide/add-a-plugin.md", "docs/guide/add-a-lint-rule.md"];
/// What a guide writes before a command that needs root, which this command has.
const AS_ROOT: &str = "sudo -E env \"PATH=$PATH\" ";
/// Below `target`, at the same place in every run, so that only what differs is compiled again.
const COPY: &str = "guides";

/// One step of a guide.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create { file: String, text: String },
    Change { file: String, diff: String },
    Run(String),
}

pub(crate) fn run() -> anyhow::Result<()> {
    let copy = build::target_dir().join(COPY);
    copy_sources(&copy)?;
    for guide in GUIDES {
        for step in steps(guide)? {
            match &step {
                Step::Run(words) => progress::step(&format!("cargo {words}"), || run_tests(words, &copy)),
                edit => apply(edit, &copy),
            }
            .with_context(|| format!("`{guide}` cannot be followed"))?;
        }
    }
    Ok(())
}

fn steps(guide: &str) -> anyhow::Result<Vec<Step>> {
    let path = build::root().join(guide);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(read_steps(&text))
}

fn read_steps(guide: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(information) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n"));
            let text: String = block.collect();
            let (language, title) = information.split_once(" title=").unwrap_or((information, ""));
            let file = title.trim_matches('"').to_owned();
            match language {
                _ if file.is_empty() => {}
                "diff" => steps.push(Step::Change { file, diff: text }),
                _ => steps.push(Step::Create { file, text }),
            }
        } else if let Some(command) = line.strip_prefix("    ") {
            let command = command.strip_prefix(AS_ROOT).unwrap_or(command);
            steps.extend(command.strip_prefix("cargo ").map(|words| Step::Run(words.to_owned())));
        }
    }
    steps
}

/// A copy of everything under version control.
fn copy_sources(copy: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(build::root()).output()?;
    let listed = String::from_utf8(listed.stdout).context("git named a file that is no text")?;
    for file in listed.split_terminator('\0') {
        let path = build::root().join(file);
        if path.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("cannot read `{file}`"))?;
            write_if_other(&copy.join(file), &bytes)?;
        }
    }
    Ok(())
}

fn write_if_other(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|written| written == bytes) {
        return Ok(());
    }
    let folder = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Creates or changes a file of the copy.
fn apply(step: &Step, copy: &Path) -> anyhow::Result<()> {
    match step {
        Step::Create { file, text } => {
            ensure!(!build::root().join(file).exists(), "`{file}` is there already");
            write_if_other(&copy.join(file), text.as_bytes())
        }
        Step::Change { file, diff } => {
            let path: PathBuf = copy.join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{file}`"))?;
            let changed = changed(&text, diff).with_context(|| format!("in `{file}`"))?;
            fs::write(&path, changed).with_context(|| format!("cannot write `{file}`"))
        }
        Step::Run(_) => Ok(()),
    }
}

/// The text with the lines that begin with `+`; the other lines of the diff say where they belong, and are there once.
fn changed(text: &str, diff: &str) -> anyhow::Result<String> {
    let part = |mark: char| -> String {
        let lines = diff.lines().filter(|line| !line.starts_with(mark));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    let (before, after) = (part('+'), part('-'));
    match text.matches(&before).count() {
        1 => Ok(text.replacen(&before, &after, 1)),
        count => bail!("these lines are there {count} times instead of once:\n{before}"),
    }
}

/// A command that succeeds without running any test proves nothing.
fn run_tests(words: &str, copy: &Path) -> anyhow::Result<()> {
    let mut command = cargo_command();
    command.args(words.split_whitespace()).current_dir(copy);
    // Libraries of others are the same in the copy, and so is what was built of them.
    command.env("CARGO_TARGET_DIR", build::target_dir());
    let output = command.output().context("cargo cannot be run")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "it failed:\n{out}\n{err}");
    let ran = |line: &str| line.starts_with("test result: ok. ") && !line.contains("ok. 0 passed");
    ensure!(out.lines().any(ran), "it ran no test:\n{out}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_and_change_of_the_guides_fits_the_sources() {
        let copy = tempfile::tempdir().unwrap();
        copy_sources(copy.path()).unwrap();
        for guide in GUIDES {
            let steps = steps(guide).unwrap();
            assert!(steps.iter().any(|step| matches!(step, Step::Create { .. })), "{guide} creates no file");
            assert!(steps.iter().any(|step| matches!(step, Step::Run(_))), "{guide} runs no test");
            steps.iter().try_for_each(|step| apply(step, copy.path())).unwrap();
        }
        let plugin = fs::read_to_string(copy.path().join("plugin-conf/src/check.rs")).unwrap();
        assert!(plugin.contains("TxQueueConf::read"), "the change is in the copy");
    }

    #[test]
    fn a_step_is_a_file_a_change_or_a_command() {
        let guide = "text\n```rust title=\"a.rs\"\nfn a() {}\n```\n```diff title=\"b.rs\"\n x\n+y\n```\n```\nno step\n```\n\
                     \n    sudo -E env \"PATH=$PATH\" cargo test a\n    kubectl get pods\n";
        let expected = [
            Step::Create { file: "a.rs".into(), text: "fn a() {}\n".into() },
            Step::Change { file: "b.rs".into(), diff: " x\n+y\n".into() },
            Step::Run("test a".into()),
        ];
        assert_eq!(read_steps(guide), expected);
    }

    #[test]
    fn a_change_needs_its_lines_once() {
        assert_eq!(changed("a\nx\nb\n", " x\n+y\n").unwrap(), "a\nx\ny\nb\n");
        assert_eq!(changed("a\nx\nb\n", "-x\n+y\n").unwrap(), "a\ny\nb\n");
        assert!(changed("x\nx\n", " x\n+y\n").is_err());
        assert!(changed("a\n", " x\n+y\n").is_err());
    }
}
