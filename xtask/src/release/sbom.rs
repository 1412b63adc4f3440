//! What is linked into an executable: a bill of materials in CycloneDX 1.6, the same bytes for the same sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::VERSION;
use crate::build;

/// Both link the same crates but for a few that know one processor.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// As Cargo names a crate. `Ord` by name, then version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
}

impl Crate {
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

/// The crates of an executable, each with what it links itself.
#[derive(Debug, Default)]
struct Graph {
    licences: BTreeMap<Crate, String>,
    links: BTreeMap<Crate, BTreeSet<Crate>>,
}

/// The bill of one of the executables.
pub(super) fn of(executable: &str) -> anyhow::Result<String> {
    let mut graph = Graph::default();
    for target in TARGETS {
        graph.add(&tree(executable, target)?)?;
    }
    let lock = fs::read_to_string(build::root().join("Cargo.lock")).context("cannot read `Cargo.lock`")?;
    let bill = bill(executable, &graph, &checksums(&lock)?)?;
    Ok(format!("{bill:#}\n"))
}

/// What cargo links: no build scripts, no procedural macros, and only the features that are on.
fn tree(executable: &str, target: &str) -> anyhow::Result<String> {
    let words =
        ["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "|{p}|{l}"];
    let out = build::quietly(words.iter().copied().chain(["--package", executable, "--target", target]))?;
    String::from_utf8(out).context("`cargo tree` printed something that is not a text")
}

impl Graph {
    /// Lines like `1|serde v1.0.0|MIT`: the number is the depth, and a crate is below the last line with a smaller one.
    fn add(&mut self, tree: &str) -> anyhow::Result<()> {
        let mut above: Vec<Crate> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let (depth, found, licence) =
                parse(line).with_context(|| format!("`cargo tree` printed `{line}`"))?;
            above.truncate(depth);
            self.links.entry(found.clone()).or_default();
            if let Some(user) = above.last() {
                self.links.entry(user.clone()).or_default().insert(found.clone());
            }
            self.licences.insert(found.clone(), licence);
            above.push(found);
        }
        Ok(())
    }
}

fn parse(line: &str) -> Option<(usize, Crate, String)> {
    let mut parts = line.split('|');
    let depth = parts.next()?.parse().ok()?;
    let mut words = parts.next()?.split_whitespace();
    let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
    // A crate that was printed before is marked by ` (*)`, and old crates write `MIT/Apache-2.0`.
    let licence =
        parts.next()?.trim_end_matches(" (*)").split('/').map(str::trim).collect::<Vec<_>>().join(" OR ");
    Some((depth, Crate { name, version }, licence))
}

/// Of every crate that comes from a registry.
fn checksums(lock: &str) -> anyhow::Result<BTreeMap<Crate, String>> {
    let lock: toml::Table = toml::from_str(lock).context("`Cargo.lock` cannot be read")?;
    let packages =
        lock.get("package").and_then(toml::Value::as_array).context("`Cargo.lock` names no package")?;
    let entry = |package: &toml::Value| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some((Crate { name: text("name")?, version: text("version")? }, text("checksum")?))
    };
    Ok(packages.iter().filter_map(entry).collect())
}

fn bill(executable: &str, graph: &Graph, checksums: &BTreeMap<Crate, String>) -> anyhow::Result<Value> {
    let itself = Crate { name: executable.to_owned(), version: VERSION.to_owned() };
    ensure!(graph.links.contains_key(&itself), "`cargo tree` does not name `{executable}` {VERSION}");
    let component = |found: &Crate, kind: &str| {
        let mut fields = json!({
            "type": kind, "bom-ref": found.purl(), "name": found.name, "version": found.version,
            "purl": found.purl(), "licenses": [{"expression": graph.licences.get(found)}],
        });
        if let (Some(sum), Some(fields)) = (checksums.get(found), fields.as_object_mut()) {
            fields.insert("hashes".into(), json!([{"alg": "SHA-256", "content": sum}]));
        }
        fields
    };
    let libraries = graph.links.keys().filter(|found| **found != itself);
    let dependencies = graph.links.iter().map(|(user, used)| {
        json!({"ref": user.purl(), "dependsOn": used.iter().map(Crate::purl).collect::<Vec<_>>()})
    });
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": component(&itself, "application")},
        "components": libraries.map(|found| component(found, "library")).collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(bill: &Value) -> BTreeSet<&str> {
        bill["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_bill_names_what_is_linked_and_nothing_else() {
        let text = of("manifold").unwrap();
        let bill: Value = serde_json::from_str(&text).unwrap();
        let names = names(&bill);
        for linked in ["manifold-cni", "serde_json", "ring", "netlink-packet-route"] {
            assert!(names.contains(linked), "{linked}");
        }
        for not_linked in ["proptest", "syn", "serde_derive", "manifold-e2e", "windows-sys", "cc"] {
            assert!(!names.contains(not_linked), "{not_linked}");
        }
        assert_eq!(text, of("manifold").unwrap());
    }

    #[test]
    fn every_crate_of_a_registry_has_its_checksum_and_every_crate_a_licence() {
        let bill: Value = serde_json::from_str(&of("manifold-controller").unwrap()).unwrap();
        for component in bill["components"].as_array().unwrap() {
            let name = component["name"].as_str().unwrap();
            let is_ours = name.starts_with("manifold");
            assert_eq!(
                component["hashes"][0]["content"].as_str().map(str::len),
                (!is_ours).then_some(64),
                "{name}"
            );
            assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        }
    }

    #[test]
    fn every_reference_of_a_bill_is_in_it() {
        let bill: Value = serde_json::from_str(&of("manifold").unwrap()).unwrap();
        let components = bill["components"].as_array().unwrap();
        let mut known: Vec<&Value> = components.iter().map(|component| &component["bom-ref"]).collect();
        known.push(&bill["metadata"]["component"]["bom-ref"]);
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(known.contains(&&dependency["ref"]));
            assert!(dependency["dependsOn"].as_array().unwrap().iter().all(|used| known.contains(&used)));
        }
    }

    #[test]
    fn the_depth_says_which_crate_links_which() {
        let mut graph = Graph::default();
        let tree = "0|a v1.0.0 (/a)|MIT\n1|b v1.0.0|MIT/ISC\n2|c v1.0.0|MIT\n1|c v1.0.0|MIT (*)\n";
        graph.add(tree).unwrap();
        let links: Vec<(&str, Vec<&str>)> = graph
            .links
            .iter()
            .map(|(user, used)| (user.name.as_str(), used.iter().map(|used| used.name.as_str()).collect()))
            .collect();
        assert_eq!(links, [("a", vec!["b", "c"]), ("b", vec!["c"]), ("c", vec![])]);
        let licences: Vec<&str> = graph.licences.values().map(String::as_str).collect();
        assert_eq!(licences, ["MIT", "MIT OR ISC", "MIT"]);
        assert!(graph.add("b v1.0.0\n").is_err());
    }
}
