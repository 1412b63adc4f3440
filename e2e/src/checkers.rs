//! Programs that check files of the project and are not ours.

use std::path::PathBuf;

use crate::go_tool::GoTool;

/// The check of GitHub's workflows.
pub fn actionlint(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let about = "actionlint, which checks workflows";
    checker("actionlint", "e2e/actionlint", "github.com/rhysd/actionlint/cmd/actionlint", about)
        .executable(progress)
}

/// The spell check.
pub fn misspell(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let about = "misspell, which checks spelling";
    checker("misspell", "e2e/misspell", "github.com/golangci/misspell/cmd/misspell", about)
        .executable(progress)
}

fn checker(name: &'static str, module: &'static str, package: &'static str, about: &'static str) -> GoTool {
    GoTool { module, sources: &["go.mod", "go.sum"], package, name, about, linker: String::new() }
}
