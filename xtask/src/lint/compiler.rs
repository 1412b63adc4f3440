//! The checks that need the compiler: format, clippy, documentation and the examples in it.

use crate::build;

pub(crate) fn check_sources() -> anyhow::Result<()> {
    build::quietly(["fmt", "--all", "--check"])?;
    // The tests of the cluster are no target of a plain `cargo test`, so "all" leaves them out.
    for targets in [&["--all-targets"][..], &["--test", "cluster"]] {
        let words =
            ["clippy", "--workspace", "--quiet"].iter().chain(targets).chain(&["--", "-D", "warnings"]);
        build::quietly(words)?;
    }
    check_documentation()
}

/// A link that leads nowhere is an error, and an example must compile and hold.
fn check_documentation() -> anyhow::Result<()> {
    // The documentation of a module leads into its private parts, for contributors read it beside the sources.
    let flags = "build.rustdocflags=['-D', 'warnings', '-A', 'rustdoc::private_intra_doc_links']";
    build::quietly(["doc", "--workspace", "--lib", "--no-deps", "--quiet", "--config", flags])?;
    build::quietly(["test", "--workspace", "--doc", "--quiet"])?;
    Ok(())
}
