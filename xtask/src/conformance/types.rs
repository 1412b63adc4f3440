//! README's table of plugin types: for each, the rows that tests prove, how many tests, and on which kernel they run.
//!
//! It stands between two markers and is never written by hand: `cargo xtask conformance --table` writes it from the
//! citations, a test compares it with them, and a whole run of `cargo xtask test` with what passed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::Survey;

const BEGIN: &str = "<!-- types: written by `cargo xtask conformance --table` -->";
const END: &str = "<!-- end of types -->";

/// A kind of plugin, with its types and how the IDs of their rows begin.
const KINDS: &[(&str, &[(&str, &str)])] = &[
    (
        "interface",
        &[
            ("bridge", "PLG-BRIDGE-"),
            ("ptp", "PLG-PTP-"),
            ("macvlan", "PLG-MACVLAN-"),
            ("ipvlan", "PLG-IPVLAN-"),
            ("vlan", "PLG-VLAN-"),
            ("host-device", "PLG-HOSTDEV-"),
            ("sriov", "PLG-SRIOV-"),
            ("bond", "PLG-BOND-"),
            ("dummy", "PLG-DUMMY-"),
            ("tap", "PLG-TAP-"),
            ("loopback", "PLG-LO-"),
        ],
    ),
    (
        "ipam",
        &[
            ("host-local", "PLG-HL-"),
            ("cluster-local", "IPAM-"),
            ("static", "PLG-STATIC-"),
            ("dhcp", "PLG-DHCP-"),
        ],
    ),
    (
        "chained",
        &[
            ("tuning", "PLG-TUNING-"),
            ("portmap", "PLG-PORTMAP-"),
            ("bandwidth", "PLG-BW-"),
            ("sbr", "PLG-SBR-"),
            ("vrf", "PLG-VRF-"),
            ("firewall", "PLG-FW-"),
        ],
    ),
    ("executed", &[("calico-ipam", "PLG-CAL-"), ("whereabouts", "PLG-WB-"), ("ovs", "PLG-OVS-")]),
];

/// What a type has to show.
struct Shown {
    proven: usize,
    applicable: usize,
    tests: usize,
    in_guest: usize,
}

impl Survey {
    /// The table, of all tests that are cited, or of those among them that passed.
    fn types(&self, passed: Option<&BTreeSet<String>>) -> String {
        let mut lines = vec![
            "| type | kind | requirements proven | tests | of these in the guest kernel |".to_owned(),
            "| --- | --- | --- | --- | --- |".to_owned(),
        ];
        for (kind, types) in KINDS {
            for (name, begin) in *types {
                let Shown { proven, applicable, tests, in_guest } = self.shown(name, begin, passed);
                let rows = match applicable {
                    0 => "its own".to_owned(),
                    _ => format!("{proven} of {applicable}"),
                };
                lines.push(format!("| {name} | {kind} | {rows} | {tests} | {in_guest} |"));
            }
        }
        lines.join("\n")
    }

    fn shown(&self, name: &str, begin: &str, passed: Option<&BTreeSet<String>>) -> Shown {
        let counts = |test: &&String| passed.is_none_or(|passed| passed.contains(*test));
        let rows: Vec<&String> =
            self.lists.iter().flat_map(|list| &list.rows).filter(|row| row.starts_with(begin)).collect();
        let proving = |row: &String| -> Vec<&String> {
            self.proofs.get(row).into_iter().flatten().filter(counts).collect()
        };
        let mut tests: BTreeSet<&String> = rows.iter().flat_map(|row| proving(row)).collect();
        // Rows of what is executed are mostly its own: there the tests that name it are what is shown.
        if self.not_applicable.keys().any(|row| row.starts_with(begin)) {
            tests.extend(self.tests.iter().filter(|test| test.contains(name)).filter(counts));
        }
        Shown {
            proven: rows.iter().filter(|row| !proving(row).is_empty()).count(),
            applicable: rows.iter().filter(|row| !self.not_applicable.contains_key(**row)).count(),
            in_guest: tests.iter().filter(|test| self.in_guest.contains(**test)).count(),
            tests: tests.len(),
        }
    }

    /// Writes the table into README.md.
    pub(super) fn write_types(&self, root: &Path) -> anyhow::Result<()> {
        let path = root.join("README.md");
        let readme = read(&path)?;
        let [before, _, after] = parts(&readme)?;
        let text = format!("{before}{BEGIN}\n{}\n{END}{after}", self.types(None));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Whether README.md says what is true: of the citations, or of a whole run in which these tests passed.
    pub(crate) fn verify_types(&self, root: &Path, passed: Option<&BTreeSet<String>>) -> anyhow::Result<()> {
        let readme = read(&root.join("README.md"))?;
        let [_, said, _] = parts(&readme)?;
        let shown = self.types(passed);
        let wrong: Vec<&str> = shown.lines().filter(|line| !said.lines().any(|l| l == *line)).collect();
        if wrong.is_empty() && said.trim() == shown {
            return Ok(());
        }
        bail!(
            "README.md's table of plugin types is not what the tests show; run `cargo xtask conformance --table`:\n  {}",
            wrong.join("\n  ")
        )
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Before the first marker, between the two, after the second.
fn parts(readme: &str) -> anyhow::Result<[&str; 3]> {
    let cut = || {
        let (before, rest) = readme.split_once(BEGIN)?;
        let (table, after) = rest.split_once(END)?;
        Some([before, table, after])
    };
    cut().with_context(|| format!("README.md lacks the lines `{BEGIN}` and `{END}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::root;

    #[test]
    fn readme_says_what_the_citations_show() {
        Survey::read(&root()).unwrap().verify_types(&root(), None).unwrap();
    }

    #[test]
    fn every_bundled_type_is_in_the_table() {
        let source = fs::read_to_string(root().join("plugins/src/lib.rs")).unwrap();
        let (_, list) = source.split_once("TYPES: &[&str] = &[").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let names = list.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty());
        for name in names {
            assert!(KINDS.iter().any(|(_, types)| types.iter().any(|(known, _)| *known == name)), "{name}");
        }
    }

    #[test]
    fn a_test_that_did_not_pass_shows_nothing() {
        let survey = Survey::of(
            &[("PLG-TAP-1", "one"), ("PLG-TAP-2", "two"), ("PLG-TAP-2", "one")],
            &["PLG-TAP-1", "PLG-TAP-2", "PLG-TAP-3"],
            &["two"],
        );
        let line = |passed: Option<&[&str]>| {
            let passed = passed.map(|names| names.iter().map(ToString::to_string).collect());
            let table = survey.types(passed.as_ref());
            table.lines().find(|line| line.starts_with("| tap ")).unwrap().to_owned()
        };
        assert_eq!(line(None), "| tap | interface | 2 of 3 | 2 | 1 |");
        assert_eq!(line(Some(&["two"])), "| tap | interface | 1 of 3 | 1 | 1 |");
        assert_eq!(line(Some(&[])), "| tap | interface | 0 of 3 | 0 | 0 |");
    }

    #[test]
    fn readme_without_markers_is_an_error_that_names_them() {
        assert!(parts("x").unwrap_err().to_string().contains(BEGIN));
        assert_eq!(parts(&format!("a{BEGIN}b{END}c")).unwrap(), ["a", "b", "c"]);
    }
}
