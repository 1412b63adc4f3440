//! The spelling of every text file of the project, by misspell and the project's word list, `docs/words.csv`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use manifold_e2e::checkers;

use crate::build;

const WORDS: &str = "docs/words.csv";
/// Names and checksums that nobody here wrote.
const GENERATED: [&str; 2] = ["Cargo.lock", "go.sum"];
/// What is written wrong there is meant to be.
const HOSTILE: [&str; 2] = ["hostile/corpus", "hostile/seeds"];
/// misspell takes its files from the command line.
const FILES_PER_CALL: usize = 400;

pub(super) fn check() -> anyhow::Result<()> {
    let root = build::root();
    let text = fs::read_to_string(root.join(WORDS)).with_context(|| format!("cannot read `{WORDS}`"))?;
    let findings = find_misspellings(&WordList::parse(&text)?, &root, &text_files(&root)?)?;
    if !findings.is_empty() {
        bail!("misspelled; correct it, or add the word to `{WORDS}`:\n{}", findings.trim_end());
    }
    Ok(())
}

/// What the dictionary of misspell lacks, and what it must let pass.
#[derive(Debug, Default)]
struct WordList {
    allowed: Vec<String>,
    corrections: Vec<String>,
}

impl WordList {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut list = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.split(',').collect::<Vec<_>>()[..] {
                [word] => list.allowed.push(word.to_lowercase()),
                [_, _] => list.corrections.push(line.to_lowercase()),
                _ => bail!("`{WORDS}`: `{line}` is neither `word` nor `wrong,right`"),
            }
        }
        Ok(list)
    }
}

/// The files that the project keeps, from its root.
pub(crate) fn text_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    let out = out.context("`git` cannot be run")?;
    if !out.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    let listed = String::from_utf8(out.stdout).context("a file's name is not a text")?;
    let is_checked = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        path != Path::new(WORDS)
            && !GENERATED.iter().any(|generated| name == *generated)
            && !HOSTILE.iter().any(|folder| path.starts_with(folder))
    };
    // A file that was removed and not yet committed is still listed.
    let there = |path: &PathBuf| root.join(path).is_file();
    Ok(listed.split_terminator('\0').map(PathBuf::from).filter(is_checked).filter(there).collect())
}

/// A line for each, as `FILE:LINE:COLUMN: "WRONG" is a misspelling of "RIGHT"`.
fn find_misspellings(words: &WordList, root: &Path, files: &[PathBuf]) -> anyhow::Result<String> {
    let executable = checkers::misspell(&mut |_| ())?;
    let corrections = tempfile::Builder::new().suffix(".csv").tempfile().context("cannot make a file")?;
    fs::write(&corrections, words.corrections.join("\n")).context("cannot write the corrections")?;
    let mut findings = String::new();
    for files in files.chunks(FILES_PER_CALL) {
        let mut command = Command::new(&executable);
        command.current_dir(root).arg("-i").arg(words.allowed.join(",")).arg("-dict").arg(corrections.path());
        let out = command.arg("--").args(files).output().context("misspell cannot be run")?;
        if !out.status.success() {
            bail!("misspell failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        findings.push_str(&String::from_utf8_lossy(&out.stdout));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn findings(words: &str, text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), text).unwrap();
        find_misspellings(&WordList::parse(words).unwrap(), folder.path(), &["a.md".into()]).unwrap()
    }

    #[test]
    fn the_project_is_spelled_right() {
        check().unwrap();
    }

    /// Written in two parts, for this file is checked too.
    #[test]
    fn a_misspelling_is_named_with_its_place_unless_the_list_allows_it() {
        let wrong = concat!("rec", "ieve");
        let text = format!("first\nwe {wrong} it\n");
        assert!(findings("", &text).starts_with("a.md:2:3: "), "{}", findings("", &text));
        assert_eq!(findings(wrong, &text), "");
    }

    #[test]
    fn the_list_adds_misspellings_of_the_projects_own_terms() {
        let wrong = concat!("kube", "lt");
        assert!(findings(&format!("{wrong},kubelet"), wrong).contains("kubelet"));
        assert_eq!(findings("", wrong), "");
    }

    #[test]
    fn a_line_of_three_words_is_refused() {
        assert!(WordList::parse("a,b,c").is_err());
    }
}
