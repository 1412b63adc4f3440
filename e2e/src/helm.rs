//! Helm, the real one, of both generations that clusters are installed with: where it is, and what it renders.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};

use crate::go_tool::GoTool;
use crate::project;

/// A generation of Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    Three,
    Four,
}

#[derive(Clone, Debug)]
pub struct Helm {
    executable: PathBuf,
}

impl Helm {
    /// The cached executable; built first where the cache lacks it. `progress` hears one line per step.
    pub fn ensure(generation: Generation, progress: &mut dyn FnMut(&str)) -> anyhow::Result<Self> {
        let executable = generation.tool().executable(progress)?;
        Ok(Self { executable })
    }

    /// For more than rendering: `helm install` and the like.
    pub fn path(&self) -> &Path {
        &self.executable
    }

    /// What a release would apply, hooks and CRDs included, as text. `Err` holds Helm's own words.
    pub fn template(
        &self,
        namespace: &str,
        values: &[&str],
        more: &[&str],
    ) -> anyhow::Result<Result<String, String>> {
        let mut words = vec!["template", "manifold", "--namespace", namespace, "--include-crds"];
        values.iter().for_each(|value| words.extend(["--set-json", value]));
        words.extend(more);
        let chart = chart();
        let out = self.run(&[&words[..], &[&chart.to_string_lossy()]].concat())?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        match out.status.success() {
            true => {
                Ok(Ok(String::from_utf8(out.stdout).context("Helm rendered something that is not a text")?))
            }
            false => Ok(Err(said)),
        }
    }

    /// Any other verb. It reads and writes nothing of the user's own Helm.
    pub fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        let home = tempfile::tempdir().context("cannot make a folder for Helm")?;
        let folder = |name: &str| home.path().join(name);
        let mut command = Command::new(&self.executable);
        command.args(words).envs([
            ("HELM_CACHE_HOME", folder("cache")),
            ("HELM_CONFIG_HOME", folder("config")),
            ("HELM_DATA_HOME", folder("data")),
        ]);
        command.output().with_context(|| format!("cannot run `{}`", self.executable.display()))
    }
}

impl Generation {
    fn tool(self) -> GoTool {
        let (module, package, name, about) = match self {
            Self::Three => {
                ("e2e/helm3", "helm.sh/helm/v3/cmd/helm", "helm3", "Helm 3 (some minutes the first time)")
            }
            Self::Four => {
                ("e2e/helm4", "helm.sh/helm/v4/cmd/helm", "helm4", "Helm 4 (some minutes the first time)")
            }
        };
        // Released ones are stamped so; without it Helm 3 takes the cluster for one of 1.20 where it sees none.
        let linker = match self {
            Self::Three => {
                let chartutil = "helm.sh/helm/v3/pkg/chartutil";
                format!(" -X {chartutil}.k8sVersionMajor=1 -X {chartutil}.k8sVersionMinor=36")
            }
            Self::Four => String::new(),
        };
        GoTool { module, sources: &["go.mod", "go.sum"], package, name, about, linker }
    }
}

/// The folder of the chart.
pub fn chart() -> PathBuf {
    project::root().join("charts/manifold")
}

/// What Helm rendered, cut into the template each part came from and its text, in Helm's order.
pub fn parts(rendered: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in rendered.lines() {
        if let Some(source) = line.strip_prefix("# Source: manifold/") {
            parts.push((source.to_owned(), String::new()));
        } else if let Some((_, text)) = parts.last_mut() {
            text.push_str(line);
            text.push('\n');
        } else if !line.is_empty() && line != "---" {
            bail!("Helm's output begins with `{line}` and not with the name of a template");
        }
    }
    for (_, text) in &mut parts {
        let bare = text.strip_prefix("---\n").unwrap_or(text).trim_end();
        *text = format!("{}\n", bare.strip_suffix("\n---").unwrap_or(bare).trim_end());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_cut_by_template() {
        let rendered = "---\n# Source: manifold/crds/a.yaml\n---\na: 1\n---\n# Source: manifold/templates/b.yaml\n# Why.\nb: 2\n\n";
        let parts = parts(rendered).unwrap();
        let expected = [("crds/a.yaml", "a: 1\n"), ("templates/b.yaml", "# Why.\nb: 2\n")];
        assert_eq!(parts, expected.map(|(source, text)| (source.to_owned(), text.to_owned())));
        assert!(super::parts("Error: x\n").is_err());
    }
}
