//! Whether the matrix of `docs/compatibility.md` names the versions that the tests and the chart pin.

use std::fs;

use anyhow::{Context as _, bail};

use crate::build;

const MATRIX: &str = "docs/compatibility.md";

/// A file that pins a version, the text before the version in it, and how many of its parts the matrix names.
struct Pin {
    row: &'static str,
    file: &'static str,
    before: &'static str,
    parts: usize,
}

const PINS: [Pin; 3] = [
    Pin { row: "Kubernetes", file: "e2e/cluster/go.mod", before: "k8s.io/kubernetes v", parts: 2 },
    Pin { row: "Kubernetes", file: "charts/manifold/Chart.yaml", before: "kubeVersion: '>=", parts: 2 },
    Pin { row: "whereabouts", file: "e2e/whereabouts/go.mod", before: "whereabouts v", parts: 3 },
];

pub(super) fn check() -> anyhow::Result<()> {
    let matrix = read(MATRIX)?;
    let findings = PINS.iter().map(|pin| pin.difference(&matrix)).collect::<anyhow::Result<Vec<_>>>()?;
    let findings: Vec<String> = findings.into_iter().flatten().collect();
    if findings.is_empty() { Ok(()) } else { bail!("{}", findings.join("\n")) }
}

fn read(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(build::root().join(name)).with_context(|| format!("cannot read `{name}`"))
}

impl Pin {
    fn difference(&self, matrix: &str) -> anyhow::Result<Option<String>> {
        let version = self
            .version(&read(self.file)?)
            .with_context(|| format!("`{}` has no `{}`", self.file, self.before))?;
        let begin = format!("| {} |", self.row);
        let row = matrix.lines().find(|line| line.starts_with(&begin)).unwrap_or_default();
        let is_named = row.split([' ', ',', ';']).any(|word| word == version);
        let difference =
            || format!("`{MATRIX}`: the row `{}` lacks {version}, which `{}` pins", self.row, self.file);
        Ok((!is_named).then(difference))
    }

    fn version(&self, text: &str) -> Option<String> {
        let (_, rest) = text.split_once(self.before)?;
        let version = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        Some(version.split('.').take(self.parts).collect::<Vec<_>>().join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_names_what_is_pinned() {
        check().unwrap();
    }

    #[test]
    fn a_row_with_another_version_is_named() {
        let [pin, ..] = PINS;
        assert_eq!(pin.version("k8s.io/kubernetes v1.36.3\n").unwrap(), "1.36");
        let found = pin.difference("| Kubernetes | 1.2 and later | 1.3 |").unwrap();
        assert!(found.unwrap().contains("the row `Kubernetes` lacks"));
        assert!(pin.difference("").unwrap().is_some());
    }
}
