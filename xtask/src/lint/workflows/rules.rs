//! Rules that actionlint does not know: a command is documented, a suite has a workflow, one compiler is used everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_yaml::Value;

use crate::{build, e2e};

const DOCUMENTATION: &str = "CONTRIBUTING.md";
const TOOLCHAIN: &str = "rust-toolchain.toml";
/// How the documentation writes what a workflow takes from its matrix.
const SUITE: (&str, &str) = ("${{ matrix.suite }}", "SUITE");

pub(super) fn find_violations(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let workflows = files.iter().map(|path| Workflow::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut findings: Vec<String> = Vec::new();
    let documentation = read(DOCUMENTATION)?;
    findings.extend(workflows.iter().flat_map(|workflow| workflow.undocumented(&documentation)));
    let image = format!("rust:{}-bookworm", toolchain(&read(TOOLCHAIN)?)?);
    findings.extend(workflows.iter().flat_map(|workflow| workflow.other_images(&image)));
    findings.extend(suites_without_workflow(&workflows, &suites(&read("Cargo.toml")?)?));
    Ok(findings)
}

fn read(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(build::root().join(name)).with_context(|| format!("cannot read `{name}`"))
}

/// The compiler's version.
fn toolchain(text: &str) -> anyhow::Result<String> {
    let file: toml::Table = toml::from_str(text)?;
    let channel = file.get("toolchain").and_then(|table| table.get("channel"));
    Ok(channel
        .and_then(toml::Value::as_str)
        .with_context(|| format!("`{TOOLCHAIN}` names no channel"))?
        .into())
}

/// How the suites of tests begin: with the folder of their crate.
fn suites(manifest: &str) -> anyhow::Result<Vec<String>> {
    let file: toml::Table = toml::from_str(manifest)?;
    let members =
        file.get("workspace").and_then(|table| table.get("members")).and_then(toml::Value::as_array);
    let members = members.context("`Cargo.toml` names no members")?.iter().filter_map(toml::Value::as_str);
    Ok(members.map(|member| format!("{member} (")).chain([e2e::SUITE.to_owned()]).collect())
}

/// `cargo xtask test --only X` runs the suites whose names contain X.
fn suites_without_workflow(workflows: &[Workflow], suites: &[String]) -> Vec<String> {
    let chosen: BTreeSet<&str> = workflows.iter().flat_map(Workflow::chosen_suites).collect();
    let missed = suites.iter().filter(|suite| !chosen.iter().any(|part| suite.contains(part)));
    missed.map(|suite| format!("no workflow runs the suite `{}`", suite.trim_end_matches(" ("))).collect()
}

struct Workflow {
    name: String,
    text: Value,
}

impl Workflow {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::parse(name, &text)
    }

    fn parse(name: String, text: &str) -> anyhow::Result<Self> {
        let text = serde_yaml::from_str(text).with_context(|| format!("`{name}` is not YAML"))?;
        Ok(Self { name, text })
    }

    fn jobs(&self) -> impl Iterator<Item = &Value> {
        self.text.get("jobs").and_then(Value::as_mapping).into_iter().flat_map(|jobs| jobs.values())
    }

    fn runs(&self) -> impl Iterator<Item = &str> {
        let steps = self.jobs().filter_map(|job| job.get("steps")?.as_sequence()).flatten();
        steps.filter_map(|step| step.get("run")?.as_str())
    }

    /// What its steps run, line by line.
    fn commands(&self) -> impl Iterator<Item = String> {
        self.runs().flat_map(str::lines).map(|line| line.replace(SUITE.0, SUITE.1))
    }

    fn undocumented(&self, documentation: &str) -> Vec<String> {
        let unknown = self.commands().filter(|command| !documentation.contains(&format!("`{command}`")));
        unknown.map(|command| format!("{}: `{command}` is not in {DOCUMENTATION}", self.name)).collect()
    }

    fn other_images(&self, expected: &str) -> Vec<String> {
        let containers = self.jobs().filter_map(|job| job.get("container"));
        let images = containers.filter_map(|container| container.get("image").unwrap_or(container).as_str());
        let others = images.filter(|image| *image != expected);
        others
            .map(|image| {
                format!("{}: the image is `{image}`, and `{TOOLCHAIN}` wants `{expected}`", self.name)
            })
            .collect()
    }

    /// The values of `--only`, from its matrices and its commands.
    fn chosen_suites(&self) -> Vec<&str> {
        let of_matrix = self.jobs().filter_map(|job| {
            let suites = job.get("strategy")?.get("matrix")?.get("suite")?.as_sequence()?;
            Some(suites.iter().filter_map(Value::as_str))
        });
        let of_commands = self.runs().filter_map(|run| run.strip_prefix("cargo xtask test --only "));
        of_matrix.flatten().chain(of_commands.filter(|suite| !suite.starts_with('$'))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "jobs:\n  a:\n    container: rust:1.0-bookworm\n    strategy: {matrix: {suite: [net, dhcp]}}\n    \
        steps:\n      - run: cargo xtask test --only ${{ matrix.suite }}\n      - run: |\n          one\n          two\n  \
        b:\n    container: {image: 'rust:2.0-bookworm'}\n    steps: [{run: cargo xtask test --only cluster}]\n";

    fn workflow() -> Workflow {
        Workflow::parse("a.yml".into(), TEXT).unwrap()
    }

    #[test]
    fn a_command_that_is_not_documented_is_named() {
        let documented = "`cargo xtask test --only SUITE` `one` `cargo xtask test --only cluster`";
        assert_eq!(workflow().undocumented(documented), ["a.yml: `two` is not in CONTRIBUTING.md"]);
    }

    #[test]
    fn a_suite_that_no_workflow_runs_is_named() {
        let suites = ["net (", "dhcp (", "plan (", "cluster"].map(str::to_owned);
        assert_eq!(suites_without_workflow(&[workflow()], &suites), ["no workflow runs the suite `plan`"]);
    }

    #[test]
    fn an_image_with_another_compiler_is_named() {
        let findings = workflow().other_images("rust:1.0-bookworm");
        assert!(findings.len() == 1 && findings.concat().contains("rust:2.0-bookworm"), "{findings:?}");
        assert_eq!(toolchain("[toolchain]\nchannel = \"1.0\"\n").unwrap(), "1.0");
    }

    #[test]
    fn every_member_of_the_workspace_is_a_suite() {
        let suites = suites("[workspace]\nmembers = [\"cni\", \"net\"]\n").unwrap();
        assert_eq!(suites, ["cni (", "net (", "cluster"]);
    }
}
