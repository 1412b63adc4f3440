//! Programs that check files of the project and are not ours.

use std::path::PathBuf;

use crate::go_tool::GoTool;

/// The check of GitHub's workflows.
pub fn actionlint(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let tool = GoTool {
        module: "e2e/actionlint",
        sources: &["go.mod", "go.sum"],
        package: "github.com/rhysd/actionlint/cmd/actionlint",
        name: "actionlint",
        about: "actionlint, which checks workflows",
        linker: String::new(),
    };
    tool.executable(progress)
}

/// The spell check.
pub fn misspell(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let tool = GoTool {
        module: "e2e/misspell",
        sources: &["go.mod", "go.sum"],
        package: "github.com/golangci/misspell/cmd/misspell",
        name: "misspell",
        about: "misspell, which checks spelling",
        linker: String::new(),
    };
    tool.executable(progress)
}
