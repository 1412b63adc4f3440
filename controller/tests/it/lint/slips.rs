//! Slips by which an object is accepted, or is refused by the API server alone, and no pod gets its network.

use super::{code, lint, stdout};

/// Told with these words; an error, or a warning that only `--strict` counts.
#[track_caller]
fn told(text: &str, error: bool, words: &[&str]) {
    let usual = lint(&["-"], text);
    assert_eq!(code(&usual), i32::from(error), "{}", stdout(&usual));
    let strict = lint(&["--strict", "-"], text);
    assert_eq!(code(&strict), 1, "{}", stdout(&strict));
    for word in words {
        assert!(stdout(&strict).contains(word), "`{word}` is missing in: {}", stdout(&strict));
    }
}

const NETWORK: &str = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: left}\n\
                       spec: {config: '{\"type\": \"macvlan\"}'}\n---\n";

fn workload(kind: &str, own: &str, of_template: &str) -> String {
    format!(
        "{NETWORK}apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: d\n  annotations: {{{own}}}\nspec:\n  template:\n    \
         metadata:\n      annotations: {{{of_template}}}\n    spec: {{containers: [{{name: a, image: b}}]}}\n"
    )
}

const ASKS: &str = "k8s.v1.cni.cncf.io/networks: left";

// Proves: COMPAT-9
#[test]
fn an_annotation_on_a_workload_itself_is_told() {
    for kind in ["Deployment", "DaemonSet", "Job", "Rollout"] {
        told(
            &workload(kind, ASKS, ""),
            false,
            &[
                "-:10:17: warning:",
                &format!("on the {kind} itself"),
                "fix: move it to `spec.template.metadata.annotations`",
            ],
        );
        assert_eq!(code(&lint(&["--strict", "-"], &workload(kind, "", ASKS))), 0);
        assert_eq!(code(&lint(&["--strict", "-"], &workload(kind, ASKS, ASKS))), 0);
    }
}

fn pod(annotations: &str) -> String {
    format!("{NETWORK}apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n{annotations}")
}

// Proves: COMPAT-9
#[test]
fn an_annotation_that_is_no_text_is_an_error() {
    told(
        &pod("    k8s.v1.cni.cncf.io/networks:\n      - name: left\n"),
        true,
        &["-:11:5: error:", "is a list, and must be text", "in quotes: '[{\"name\":\"left\"}]'"],
    );
    told(&pod("    v1.multus-cni.io/default-network: 5\n"), true, &["must be text"]);
    let template = workload("Deployment", "", "k8s.v1.cni.cncf.io/networks: {name: left}");
    told(&template, true, &["Deployment default/d", "is an object, and must be text"]);
}

// Proves: COMPAT-9
#[test]
fn a_misspelt_annotation_is_told() {
    for key in
        ["k8s.v1.cni.cncf.io/network", "kubernetes.v1.cni.cncf.io/networks", "k8s.v1.cni.cnfc.io/networks"]
    {
        told(
            &pod(&format!("    {key}: left\n")),
            false,
            &["-:11:5: warning:", "the annotation `", "did you mean `k8s.v1.cni.cncf.io/networks`?"],
        );
    }
    let definition =
        NETWORK.replace("name: left", "name: left, annotations: {k8s.v1.cni.cncf.io/resourcename: a/b}");
    told(&definition, false, &["did you mean `k8s.v1.cni.cncf.io/resourceName`?"]);
    let label = pod("    other: x\n  labels: {k8s.v1.cni.cncf.io/networks: left}\n");
    told(&label, false, &["is a label here"]);
    let own = pod("    k8s.v1.cni.cncf.io/network-status: '[]'\n    example.com/networks: left\n");
    assert_eq!(code(&lint(&["--strict", "-"], &own)), 0);
}

// Proves: COMPAT-9
#[test]
fn a_misspelt_config_is_an_error_and_another_key_beside_it_a_warning() {
    for key in ["Config", "conf", "confg"] {
        let lost = NETWORK.replace("{config:", &format!("{{{key}:"));
        told(
            &lost,
            true,
            &["-:4:8: error:", &format!("no key `{key}`"), "no configuration", "write `config`"],
        );
    }
    let more = NETWORK.replace("{config:", "{description: x, config:");
    told(&more, false, &["-:4:8: warning:", "no key `description`"]);
    let none = NETWORK.replace("spec: {config: '{\"type\": \"macvlan\"}'}", "spec: {}");
    assert_eq!(code(&lint(&["--strict", "-"], &none)), 0);
}

// Proves: COMPAT-1, COMPAT-2
#[test]
fn what_a_selection_has_without_effect_is_a_warning_and_with_strict_an_error() {
    for (element, effect) in [
        (r#""gateway": ["10.1.1.1"]"#, "has no effect"),
        (r#""mac": """#, "counts as absent"),
        (r#""ips": []"#, "counts as absent"),
        (r#""bandwidth": {}"#, "counts as absent"),
    ] {
        let text = pod(&format!("    k8s.v1.cni.cncf.io/networks: '[{{\"name\": \"left\", {element}}}]'\n"));
        told(&text, false, &["-:11:5: warning:", "element 1 (`default/left`), key", effect]);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.yaml");
        std::fs::write(&file, "networks: {strict: true}").unwrap();
        let strict = lint(&["--config", &file.display().to_string(), "-"], &text);
        assert_eq!(code(&strict), 1, "{}", stdout(&strict));
    }
}

// Proves: COMPAT-8
#[test]
fn a_definition_may_have_dots_in_its_name() {
    let both = pod(&format!("    {ASKS}.v2.example\n")).replace("name: left", "name: left.v2.example");
    let output = lint(&["--strict", "-"], &both);
    assert_eq!(code(&output), 0, "{}", stdout(&output));
}
