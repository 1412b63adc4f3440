//! The executable's `lint` on real files: exit codes, both formats, folders, standard input, the examples and the corpus.

mod slips;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use manifold_e2e::project;
use serde_json::{Value, json};

fn lint(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_manifold-controller"))
        .arg("lint")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its input is gone before the end of it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The JSON of a run, and its exit code.
fn report(arguments: &[&str], stdin: &str) -> (i32, Value) {
    let arguments = [&["--format", "json"], arguments].concat();
    let output = lint(&arguments, stdin);
    (code(&output), serde_json::from_slice(&output.stdout).unwrap())
}

fn path(relative: &str) -> String {
    project::root().join(relative).display().to_string()
}

const BAD: &str = r#"apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: left
  namespace: shop
spec:
  config: |
    {
      "cniVersion": "1.0.0",
      "plugins": [
        {"type": "macvlan", "mode": "bridg"}
      ]
    }
"#;

// Proves: P-USE-2
#[test]
fn a_broken_definition_gives_code_1_and_its_place_in_both_formats() {
    let human = lint(&["-"], BAD);
    assert_eq!(code(&human), 1);
    let expected = "-:11:37: error: NetworkAttachmentDefinition shop/left: plugin `macvlan`: `mode`: `bridg` is not a macvlan mode, \
                    at `/plugins/0/mode` of `config`\n    fix: use `bridge`, `private`, `vepa` or `passthru`\n1 error, 0 warnings \
                    in 1 file: 1 definition, 0 pods; 0 other objects skipped\n";
    assert_eq!(stdout(&human), expected);
    assert!(human.stderr.is_empty(), "{human:?}");
    let (code, json) = report(&["-"], BAD);
    let finding = json!({
        "severity": "error",
        "file": "-",
        "line": 11,
        "column": 37,
        "object": {"kind": "NetworkAttachmentDefinition", "namespace": "shop", "name": "left"},
        "sentence": "plugin `macvlan`: `mode`: `bridg` is not a macvlan mode",
        "fix": "use `bridge`, `private`, `vepa` or `passthru`",
        "config": {"pointer": "/plugins/0/mode", "line": 4, "column": 33},
    });
    let whole = json!({
        "errors": 1, "warnings": 0, "findings": [finding], "files": 1, "definitions": 1, "pods": 0, "others": 0,
    });
    assert_eq!((code, json), (1, whole));
}

#[test]
fn warnings_pass_unless_told_to_be_strict() {
    let odd = BAD.replace("\"mode\": \"bridg\"", "\"mod\": \"bridge\"");
    assert_eq!(code(&lint(&["-"], &odd)), 0);
    assert_eq!(code(&lint(&["--strict", "-"], &odd)), 1);
    let good = BAD.replace("bridg\"", "bridge\"");
    assert_eq!(code(&lint(&["--strict", "-"], &good)), 0);
}

#[test]
fn what_cannot_be_read_gives_code_2_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("a.yaml");
    fs::write(&binary, b"\xff\xfe").unwrap();
    let (binary, gone) = (binary.display().to_string(), folder.path().join("gone").display().to_string());
    let settings = folder.path().join("settings");
    fs::write(&settings, "leader: {}").unwrap();
    let settings = settings.display().to_string();
    for (arguments, words) in [
        (vec![gone.as_str()], gone.as_str()),
        (vec![binary.as_str()], "not UTF-8"),
        (vec!["--config", &gone, "-"], gone.as_str()),
        (vec!["--config", &settings, "-"], "leader"),
        (vec![], "required"),
    ] {
        let output = lint(&arguments, "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code(&output), 2, "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn folders_are_read_whole_in_order_and_hidden_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yaml", BAD);
    write("a/deep/c.yml", BAD);
    write("a/d.json", "{}");
    write(".hidden/e.yaml", BAD);
    write("notes.txt", BAD);
    let root = folder.path().display().to_string();
    let (code, json) = report(&[&root], "");
    let files: Vec<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["severity"] == "error")
        .map(|f| f["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, [format!("{root}/a/deep/c.yml"), format!("{root}/b.yaml")]);
    assert_eq!((code, json["files"].as_u64()), (1, Some(3)));
    // The two are the same definition, which is told too.
    assert_eq!(json["warnings"], 1);
}

#[test]
fn the_configuration_decides_what_pods_may_use() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: cart\n  annotations: {k8s.v1.cni.cncf.io/networks: shop/left}\n";
    let both = format!("{}---\n{pod}", BAD.replace("bridg\"", "bridge\""));
    let (refused, json) = report(&["-"], &both);
    assert_eq!(refused, 1, "{json}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    fs::write(&file, "networks: {namespaceIsolation: false}").unwrap();
    let (allowed, json) = report(&["--config", &file.display().to_string(), "-"], &both);
    assert_eq!((allowed, json["pods"].as_u64()), (0, Some(1)), "{json}");
}

/// They may use host-local under a type that joins the nodes, as many who come from Multus do. Nothing else is told of them.
#[track_caller]
fn passes_but_for_doubled_addresses(folder: &str) {
    let output = lint(&[&path(folder)], "");
    let told = stdout(&output);
    assert_eq!(code(&output), 0, "{told}");
    let mut warnings = told.lines().filter(|line| line.contains(": warning: "));
    assert!(warnings.all(|line| line.contains("host-local counts on each node for itself")), "{told}");
}

#[test]
fn the_examples_pass_without_a_warning() {
    passes_but_for_doubled_addresses("deploy/examples");
    let (_, json) = report(&[&path("deploy/examples")], "");
    assert!(json["definitions"].as_u64() >= Some(24), "{json}");
    assert!(json["pods"].as_u64() >= Some(2), "{json}");
}

#[test]
fn the_good_ones_of_the_corpus_pass() {
    passes_but_for_doubled_addresses("plan/tests/corpus/good");
}

fn broken() -> Vec<PathBuf> {
    let entries = fs::read_dir(project::root().join("plan/tests/corpus/broken")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

// Proves: P-USE-2
#[test]
fn every_broken_one_of_the_corpus_is_refused_at_a_line_of_its_file() {
    let (code, json) = report(&[&path("plan/tests/corpus/broken")], "");
    assert_eq!(code, 1);
    let findings = json["findings"].as_array().unwrap();
    let paths = broken();
    assert!(paths.len() >= 60);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let of_file = |f: &&Value| f["severity"] == "error" && Path::new(f["file"].as_str().unwrap()) == path;
        let found = findings.iter().find(of_file).unwrap_or_else(|| panic!("{} passes", path.display()));
        let line = usize::try_from(found["line"].as_u64().unwrap()).unwrap();
        let begins = text.lines().position(|line| line.contains("config")).map_or(1, |n| n + 1);
        assert!((begins..=text.lines().count()).contains(&line) || line >= 4, "{found}");
        assert!(!found["fix"].as_str().unwrap().is_empty(), "{found}");
    }
}

/// The exit code for each file of that folder of published definitions.
fn published(folder: &str) -> Vec<(String, i32, String)> {
    let folder = project::root().join("plan/tests/corpus/published").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let judged = |path: &PathBuf| {
        let output = lint(&[&path.display().to_string()], "");
        (path.file_name().unwrap().to_string_lossy().into_owned(), code(&output), stdout(&output))
    };
    paths.iter().map(judged).collect()
}

// Proves: P-USE-2
#[test]
fn definitions_as_people_publish_them_pass_and_the_broken_ones_do_not() {
    let accepted = published("accepted");
    assert!(accepted.len() >= 51, "{}", accepted.len());
    for (file, code, told) in accepted {
        assert_eq!(code, 0, "{file}: {told}");
    }
    let refused = published("refused");
    assert!(refused.len() >= 14, "{}", refused.len());
    for (file, code, told) in refused {
        assert_eq!(code, 1, "{file}: {told}");
        assert!(told.contains("error: ") && told.contains("    fix: "), "{file}: {told}");
    }
}
