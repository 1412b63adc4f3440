//! The checks that need the compiler: format, clippy, documentation.

use crate::build;

pub(crate) fn check_sources() -> anyhow::Result<()> {
    build::quietly(["fmt", "--all", "--check"])?;
    // The tests of the cluster are no target of a plain `cargo test`, so "all" leaves them out.
    for targets in [&["--all-targets"][..], &["--test", "cluster"]] {
        let words =
            ["clippy", "--workspace", "--quiet"].iter().chain(targets).chain(&["--", "-D", "warnings"]);
        build::quietly(words)?;
    }
    Ok(())
}
