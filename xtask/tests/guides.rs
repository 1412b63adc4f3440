//! The guides for contributors, followed literally: every block with a file name is applied to a copy of the sources, and every
//! command of the guide is run there.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use manifold_e2e::cargo_command::cargo_command;
use manifold_e2e::project;

const GUIDES: [&str; 2] = ["docs/guide/add-a-plugin.md", "docs/guide/add-a-lint-rule.md"];
/// What a guide writes before a command that needs root, which the tests have.
const AS_ROOT: &str = "sudo -E env \"PATH=$PATH\" ";

/// One step of a guide.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create { file: String, text: String },
    Change { file: String, diff: String },
    Run(String),
}

fn steps(guide: &str) -> Vec<Step> {
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

/// The text with the lines that begin with `+`; the other lines of the diff say where they belong, and are there once.
fn changed(text: &str, diff: &str) -> Result<String, String> {
    let part = |mark: char| -> String {
        let lines = diff.lines().filter(|line| !line.starts_with(mark));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    let (before, after) = (part('+'), part('-'));
    match text.matches(&before).count() {
        1 => Ok(text.replacen(&before, &after, 1)),
        count => Err(format!("these lines are there {count} times instead of once:\n{before}")),
    }
}

/// A copy of what cargo needs, at the same place in every run, so that only what differs is compiled again.
fn copy_of_sources() -> PathBuf {
    let copy = project::root().join("target/guides/sources");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(project::root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<&str> =
        listed.split_terminator('\0').filter(|file| project::root().join(file).is_file()).collect();
    for file in &files {
        write_if_other(&copy.join(file), &fs::read(project::root().join(file)).unwrap());
    }
    copy
}

fn write_if_other(path: &Path, bytes: &[u8]) {
    if fs::read(path).is_ok_and(|written| written == bytes) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn both_guides_lead_to_green_tests() {
    let copy = copy_of_sources();
    for guide in GUIDES {
        let text = fs::read_to_string(project::root().join(guide)).unwrap();
        let steps = steps(&text);
        assert!(steps.iter().any(|step| matches!(step, Step::Create { .. })), "{guide} creates no file");
        assert!(steps.iter().any(|step| matches!(step, Step::Run(_))), "{guide} runs no test");
        for step in steps {
            follow(guide, &step, &copy);
        }
    }
}

fn follow(guide: &str, step: &Step, copy: &Path) {
    match step {
        Step::Create { file, text } => {
            assert!(!project::root().join(file).exists(), "{guide}: `{file}` is there already");
            write_if_other(&copy.join(file), text.as_bytes());
        }
        Step::Change { file, diff } => {
            let text = fs::read_to_string(copy.join(file)).unwrap();
            let changed = changed(&text, diff).unwrap_or_else(|why| panic!("{guide}: `{file}`: {why}"));
            fs::write(copy.join(file), changed).unwrap();
        }
        Step::Run(words) => {
            let mut command = cargo_command();
            command.args(words.split_whitespace()).current_dir(copy);
            // Libraries of others are the same in the copy, and so is what was built of them.
            command.env("CARGO_TARGET_DIR", project::root().join("target"));
            // Set for the tests' times; build scripts look at it, and would be run once more.
            command.env_remove("RUSTC_BOOTSTRAP");
            let output = command.output().unwrap();
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{guide}: `cargo {words}` failed:\n{out}\n{err}");
            let ran = out
                .lines()
                .any(|line| line.starts_with("test result: ok. ") && !line.contains("ok. 0 passed"));
            assert!(ran, "{guide}: `cargo {words}` ran no test:\n{out}");
        }
    }
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
    assert_eq!(steps(guide), expected);
}

#[test]
fn a_change_needs_its_lines_once() {
    assert_eq!(changed("a\nx\nb\n", " x\n+y\n").unwrap(), "a\nx\ny\nb\n");
    assert_eq!(changed("a\nx\nb\n", "-x\n+y\n").unwrap(), "a\ny\nb\n");
    assert!(changed("x\nx\n", " x\n+y\n").is_err());
    assert!(changed("a\n", " x\n+y\n").is_err());
}
