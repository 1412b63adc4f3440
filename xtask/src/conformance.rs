//! Which row of `docs/spec/` and `docs/failures.md` is proven by which test.
//!
//! A test names its rows in a comment above it (`// Proves: CNI-CFG-2, F-INP-3`). `docs/conformance/claims.txt`
//! lists the rows the project says are done; a claim without a test that ran and passed is an error, and so
//! is a comment that names a row nobody wrote. `docs/conformance/not-applicable.txt` gives reasons.

mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{build::root, progress};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Names every row, not only the counts
    #[arg(long)]
    rows: bool,
    /// Writes docs/conformance/claims.txt from the tests as they are
    #[arg(long)]
    claim: bool,
    /// Writes README.md's table of plugin types from the tests as they are
    #[arg(long)]
    table: bool,
}

/// One list: its file's name and its row IDs in order.
struct List {
    name: String,
    rows: Vec<String>,
}

/// What the sources and the lists say together.
pub(crate) struct Survey {
    lists: Vec<List>,
    /// Row → names of the tests that cite it.
    proofs: BTreeMap<String, BTreeSet<String>>,
    claims: BTreeSet<String>,
    not_applicable: BTreeMap<String, String>,
    /// Names of all tests, without their modules.
    tests: BTreeSet<String>,
    /// Those among them that only the guest kernel can run.
    in_guest: BTreeSet<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let survey = Survey::read(&root())?;
    if options.claim {
        return survey.write_claims(&root());
    }
    if options.table {
        return survey.write_types(&root());
    }
    for list in &survey.lists {
        progress::line(&survey.summary(list));
        if options.rows {
            list.rows.iter().for_each(|row| progress::line(&survey.row(row)));
        }
    }
    progress::line(&survey.total());
    survey.verify(None)
}

impl Survey {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let lists = lists(root)?;
        let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let (mut tests, mut in_guest) = (BTreeSet::new(), BTreeSet::new());
        for file in sources(root)? {
            let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            for (row, test) in citations(&text) {
                proofs.entry(row).or_default().insert(test);
            }
            for (test, ignored) in test_functions(&text) {
                if ignored.is_some_and(|why| why.contains("guest")) {
                    in_guest.insert(test.to_owned());
                }
                tests.insert(test.to_owned());
            }
        }
        let folder = root.join("docs/conformance");
        let claims = lines(&folder.join("claims.txt"))?.into_iter().collect();
        let reason = |l: String| l.split_once(": ").map(|(id, why)| (id.to_owned(), why.to_owned()));
        let not_applicable =
            lines(&folder.join("not-applicable.txt"))?.into_iter().filter_map(reason).collect();
        Ok(Self { lists, proofs, claims, not_applicable, tests, in_guest })
    }

    /// Every claim has a test (that is among `passed`, when given), and every cited row exists.
    pub(crate) fn verify(&self, passed: Option<&BTreeSet<String>>) -> anyhow::Result<()> {
        let known: BTreeSet<&str> = self.lists.iter().flat_map(|l| &l.rows).map(String::as_str).collect();
        let mut wrong = Vec::new();
        for (row, tests) in &self.proofs {
            if !known.contains(row.as_str()) {
                wrong.push(format!("`{row}` is cited by {} but is in no list", join(tests)));
            }
        }
        for row in self.claims.iter().chain(self.not_applicable.keys()) {
            if !known.contains(row.as_str()) {
                wrong.push(format!("`{row}` is claimed but is in no list"));
            }
        }
        for row in &self.claims {
            match (self.proofs.get(row), passed) {
                (None, _) => wrong.push(format!("`{row}` is claimed as done but no test cites it")),
                (Some(tests), Some(passed)) if tests.is_disjoint(passed) => {
                    wrong.push(format!(
                        "`{row}` is claimed as done but {} did not pass in this run",
                        join(tests)
                    ));
                }
                _ => {}
            }
        }
        if wrong.is_empty() { Ok(()) } else { bail!("conformance:\n  {}", wrong.join("\n  ")) }
    }

    pub(crate) fn total(&self) -> String {
        let rows = || self.lists.iter().flat_map(|l| &l.rows);
        self.count("all lists", rows().count(), rows())
    }

    fn summary(&self, list: &List) -> String {
        self.count(&list.name, list.rows.len(), list.rows.iter())
    }

    fn count<'a>(&self, name: &str, all: usize, rows: impl Iterator<Item = &'a String> + Clone) -> String {
        let proven = rows.clone().filter(|r| self.proofs.contains_key(*r)).count();
        let apart =
            rows.filter(|r| !self.proofs.contains_key(*r) && self.not_applicable.contains_key(*r)).count();
        format!(
            "{name:<28} {all:>4} rows: {proven:>4} proven, {:>4} not yet, {apart:>3} not applicable",
            all - proven - apart
        )
    }

    fn row(&self, row: &str) -> String {
        match (self.proofs.get(row), self.not_applicable.get(row)) {
            (Some(tests), _) => format!("  {row:<24} {}", join(tests)),
            (None, Some(why)) => format!("  {row:<24} not applicable: {why}"),
            (None, None) => format!("  {row:<24} not yet"),
        }
    }

    fn write_claims(&self, root: &Path) -> anyhow::Result<()> {
        let known: BTreeSet<&String> = self.lists.iter().flat_map(|l| &l.rows).collect();
        let mut text = String::from(
            "# Rows that the project says are done. Each needs a test that cites it; see CONTRIBUTING.md.\n",
        );
        for row in self.proofs.keys().filter(|r| known.contains(r)) {
            text.push_str(row);
            text.push('\n');
        }
        fs::write(root.join("docs/conformance/claims.txt"), text)
            .context("writing docs/conformance/claims.txt")
    }
}

fn join(tests: &BTreeSet<String>) -> String {
    tests.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Lines of a text file without comments and blanks; a missing file has none.
fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(str::to_owned)
            .collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

fn lists(root: &Path) -> anyhow::Result<Vec<List>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(root.join("docs/spec"))?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    files.push(root.join("docs/failures.md"));
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let rows = fs::read_to_string(&path)?.lines().filter_map(row_id).collect();
        Ok(List { name, rows })
    };
    files.into_iter().map(read).collect()
}

/// The ID in the first cell of a table row: capitals, a dash, and an ending of digits, capitals and dots.
fn row_id(line: &str) -> Option<String> {
    let cell = line.strip_prefix("| ")?.split('|').next()?.trim();
    let (area, number) = cell.split_once('-')?;
    let letters = !area.is_empty() && area.chars().all(|c| c.is_ascii_uppercase());
    let rest = number.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '.' | '-'));
    (letters && rest && cell.contains(|c: char| c.is_ascii_digit())).then(|| cell.to_owned())
}

/// Pairs of row and test in one source file: the comment's rows belong to the next function.
fn citations(text: &str) -> Vec<(String, String)> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(ids) = line.strip_prefix("// Proves: ") {
            open.extend(
                ids.split(',')
                    .map(|id| id.trim().trim_end_matches('.').to_owned())
                    .filter(|id| !id.is_empty()),
            );
        } else if let Some(name) = function_name(line).filter(|_| !open.is_empty()) {
            found.extend(open.drain(..).map(|row| (row, name.to_owned())));
        }
    }
    found
}

/// Every test with the reason for which it is ignored, if it is.
fn test_functions(text: &str) -> Vec<(&str, Option<&str>)> {
    let (mut is_test, mut ignored) = (false, None);
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line == "#[test]" {
            is_test = true;
        } else if let Some(why) = line.strip_prefix("#[ignore = ") {
            ignored = Some(why);
        } else if let Some(name) = function_name(line) {
            let reason = ignored.take();
            if std::mem::take(&mut is_test) {
                found.push((name, reason));
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Every Rust file of the project.
fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut open = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" && name != "docs" {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_id_is_the_first_cell_of_a_table_row() {
        assert_eq!(row_id("| CNI-CFG-1 | Top level |").as_deref(), Some("CNI-CFG-1"));
        assert_eq!(row_id("| NPWG-4.1.2.1.10-1 | x |").as_deref(), Some("NPWG-4.1.2.1.10-1"));
        assert_eq!(row_id("| F-API-1 | x |").as_deref(), Some("F-API-1"));
        assert_eq!(row_id("| T-1 | x |").as_deref(), Some("T-1"));
        assert_eq!(row_id("| ID | Requirement |"), None);
        assert_eq!(row_id("| `manifold-shim`: token | x |"), None);
        assert_eq!(row_id("text"), None);
    }

    #[test]
    fn the_rows_of_a_comment_belong_to_the_next_function() {
        let text = "// Proves: A-1, A-2\n// Proves: A-3\n#[test]\nfn one() {}\nfn two() {}\n";
        let rows: Vec<_> = citations(text);
        assert_eq!(
            rows,
            [("A-1", "one"), ("A-2", "one"), ("A-3", "one")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    fn survey(claims: &[&str], proofs: &[(&str, &str)]) -> Survey {
        let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (row, test) in proofs {
            map.entry((*row).to_owned()).or_default().insert((*test).to_owned());
        }
        Survey {
            lists: vec![List { name: "list".into(), rows: vec!["A-1".into(), "A-2".into()] }],
            proofs: map,
            claims: claims.iter().map(|c| (*c).to_owned()).collect(),
            not_applicable: BTreeMap::new(),
            tests: BTreeSet::new(),
            in_guest: BTreeSet::new(),
        }
    }

    impl Survey {
        pub(super) fn of(proofs: &[(&str, &str)], rows: &[&str], in_guest: &[&str]) -> Self {
            let rows = rows.iter().map(ToString::to_string).collect();
            let lists = vec![List { name: "list".into(), rows }];
            let in_guest = in_guest.iter().map(ToString::to_string).collect();
            Self { lists, in_guest, ..survey(&[], proofs) }
        }
    }

    #[test]
    fn a_test_is_known_by_its_attribute_and_by_its_reason_where_it_is_ignored() {
        let text =
            "#[test]\n#[ignore = \"in the guest\"]\nfn a() {\n  x\n}\nfn b() {}\n  #[test]\n  fn c() {}\n";
        assert_eq!(test_functions(text), [("a", Some("\"in the guest\"]")), ("c", None)]);
    }

    #[test]
    fn a_claim_without_a_test_is_an_error() {
        assert!(survey(&["A-1"], &[("A-1", "t")]).verify(None).is_ok());
        let error = survey(&["A-2"], &[("A-1", "t")]).verify(None).unwrap_err().to_string();
        assert!(error.contains("`A-2` is claimed as done but no test cites it"), "{error}");
    }

    #[test]
    fn a_claim_whose_test_did_not_pass_is_an_error() {
        let passed = BTreeSet::from(["other".to_owned()]);
        assert!(survey(&["A-1"], &[("A-1", "t")]).verify(Some(&passed)).is_err());
    }

    #[test]
    fn a_citation_of_a_row_that_nobody_wrote_is_an_error() {
        let error = survey(&[], &[("A-9", "t")]).verify(None).unwrap_err().to_string();
        assert!(error.contains("`A-9` is cited by t but is in no list"), "{error}");
    }
}
