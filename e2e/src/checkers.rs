//! Programs that check files of the project and are not ours.

use std::path::PathBuf;

use crate::cargo_tool::CargoTool;
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

/// The builder of the documentation's book. Without optimisation, because the book is small.
pub fn mdbook(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    let about = "mdBook, which builds the documentation (some minutes)";
    CargoTool { name: "mdbook", version: "0.5.4", flags: &["--debug", "--no-default-features"], about }
        .executable(progress)
}

fn checker(name: &'static str, module: &'static str, package: &'static str, about: &'static str) -> GoTool {
    GoTool { module, sources: &["go.mod", "go.sum"], package, name, about, linker: String::new() }
}
