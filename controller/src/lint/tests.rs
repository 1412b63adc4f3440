use manifold_plan::Policy;

use super::gather::Text;
use super::judgement;
use crate::config::Config;

fn policy() -> Policy {
    Config::default().policy().unwrap()
}

/// What is printed about these files.
fn human(files: &[(&str, &str)]) -> String {
    let texts: Vec<Text> = files
        .iter()
        .map(|(file, text)| Text { file: (*file).to_owned(), text: (*text).to_owned() })
        .collect();
    judgement::judge(&texts, &policy()).human()
}

/// The lines that name a place.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let told = human(&[("a.yaml", text)]);
    let found: Vec<&str> = told.lines().filter(|line| line.starts_with("a.yaml:")).collect();
    assert_eq!(found.len(), expected.len(), "{told}");
    for (line, words) in found.iter().zip(expected) {
        for word in words.split(" … ") {
            assert!(line.contains(word), "`{word}` is missing in:\n{told}");
        }
    }
}

const HEAD: &str = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: a}\n";

// Proves: P-USE-2
#[test]
fn a_slip_is_told_by_its_line_in_the_file() {
    let block = format!(
        "{HEAD}spec:\n  config: |\n    {{\n      \"type\": \"macvlan\",\n      \"mode\": \"bridg\"\n    }}\n"
    );
    check(&block, &["a.yaml:8:15: error: NetworkAttachmentDefinition default/a: … `bridg` … at `/mode`"]);
    let quoted = format!(
        "{HEAD}spec:\n  config: '{{\n      \"type\": \"macvlan\",\n      \"mode\": \"bridg\"\n    }}'\n"
    );
    check(&quoted, &["a.yaml:7:15: error"]);
    let flow = format!("{HEAD}spec: {{config: '{{\"type\": \"macvlan\",}}'}}\n");
    check(&flow, &["a.yaml:4:35: error: … there is a trailing `,` before `}`"]);
    // Of a folded text only the key is known.
    let folded =
        format!("{HEAD}spec:\n  config: >\n    {{\"type\": \"macvlan\",\n    \"mode\": \"bridg\"}}\n");
    check(&folded, &["a.yaml:5:3: error"]);
}

#[test]
fn every_document_and_every_item_of_a_list_is_looked_at() {
    let bad = |name: &str| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\nspec:\n  config: '{{\"type\": 1}}'\n"
        )
    };
    let two = format!("# a\n---\n{}--- # b\n{}---\n", bad("x"), bad("y"));
    check(&two, &["a.yaml:7:21: error: … default/x", "a.yaml:13:21: error: … default/y"]);
    let item = |name: &str| {
        format!(
            "- apiVersion: k8s.cni.cncf.io/v1\n  kind: NetworkAttachmentDefinition\n  metadata: {{name: {name}}}\n  spec:\n    config: '{{\"type\": 1}}'\n"
        )
    };
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", item("x"), item("y"));
    check(&list, &["a.yaml:8:23: error: … default/x", "a.yaml:13:23: error: … default/y"]);
    let json = r#"{"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": "a"},
 "spec": {"config": "{\"type\": 1}"}}"#;
    check(json, &["a.yaml:2:33: error: … default/a"]);
}

#[test]
fn what_is_no_definition_at_all_is_told() {
    let object = format!("{HEAD}spec:\n  config:\n    type: bridge\n");
    check(&object, &["a.yaml:5:3: error: … `spec.config` is an object"]);
    assert!(human(&[("a.yaml", &object)]).contains("fix: write `config: |`"));
    check(
        "kind: NetworkAttachmentDefinition\nmetadata: {name: a}\n",
        &["a.yaml:1:1: error: … no `apiVersion`"],
    );
    let name = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: A_b\n";
    check(name, &["a.yaml:4:3: error: … `A_b`"]);
    check("a: b\n---\na: [b\n", &["a.yaml:"]);
    check("a: 'b\n", &["a.yaml:2:1: error: the document is not YAML"]);
}

#[test]
fn other_kinds_are_counted_and_passed_over() {
    let other = "apiVersion: v1\nkind: ConfigMap\ndata: {config: '{'}\n---\n---\nvalues: true\n---\n1: 2\n";
    check(other, &[]);
    let told = human(&[("a.yaml", other), ("b.yaml", "")]);
    assert_eq!(told, "0 errors, 0 warnings in 2 files: 0 definitions, 0 pods; 3 other objects skipped\n");
}

const NETWORK: &str = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: left}\nspec: {config: '{\"type\": \"macvlan\"}'}\n---\n";

fn pod(networks: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: {networks}\n"
    )
}

#[test]
fn pods_are_held_against_the_definitions_of_the_same_files() {
    check(&format!("{NETWORK}{}", pod("left")), &[]);
    check(&format!("{NETWORK}{}", pod("left@eth0")), &["a.yaml:11:5: error: Pod default/p: … eth0"]);
    check(
        &format!("{NETWORK}{}", pod("'[{\"name\": \"left\", \"ips\": [\"10.0.0.9/24\"]}]'")),
        &["a.yaml:11:5: error: … `ips`"],
    );
    check(
        &pod("gone"),
        &["a.yaml:6:5: warning: Pod default/p: network `default/gone` is defined in none of these files"],
    );
    check(&pod("other/left, '"), &["a.yaml:"]);
    // Isolation is the nodes'.
    let home = pod("shop/left").replace("  name: p\n", "  name: p\n  namespace: cart\n");
    check(&home, &["a.yaml:7:5: error: Pod cart/p: … `shop/left`"]);
    // Definitions may come after the pods, and in other files.
    assert!(
        human(&[("p.yaml", &pod("left")), ("n.yaml", NETWORK)])
            .starts_with("0 errors, 0 warnings in 2 files")
    );
    // What is wrong with a definition is told once.
    let broken = format!("{}{}", NETWORK.replace("macvlan\"", "macvlan\","), pod("left"));
    check(&broken, &["NetworkAttachmentDefinition default/left"]);
}

#[test]
fn what_makes_pods_is_checked_as_they_are() {
    let template = "template: {metadata: {annotations: {k8s.v1.cni.cncf.io/networks: gone}}}";
    for (kind, spec) in [
        ("Deployment", format!("spec: {{{template}}}")),
        ("Job", format!("spec: {{{template}}}")),
        ("CronJob", format!("spec: {{jobTemplate: {{spec: {{{template}}}}}}}")),
        ("PodTemplate", template.to_owned()),
    ] {
        let text =
            format!("apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: w, namespace: shop}}\n{spec}\n");
        check(&text, &[&format!("a.yaml:4: … warning: {kind} shop/w: network `shop/gone`")]);
    }
}

#[test]
fn a_definition_that_stands_there_twice_is_told() {
    check(
        &format!("{NETWORK}{NETWORK}"),
        &["warning: NetworkAttachmentDefinition default/left: … duplicate definition"],
    );
}

proptest::proptest! {
    // Proves: S-8
    #[test]
    fn no_text_makes_lint_panic(
        pieces in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(HEAD.to_owned()), proptest::strategy::Just("spec:\n  config: |\n".to_owned()),
            proptest::strategy::Just("  config: '".to_owned()), proptest::strategy::Just("---\n".to_owned()),
            proptest::strategy::Just("    {\"type\": \"bridge\"}\n".to_owned()), proptest::strategy::Just(pod("left")),
            proptest::strategy::Just("items:\n- ".to_owned()), "[\\PC\n]{0,12}",
        ], 0..12),
    ) {
        let _ = human(&[("a.yaml", &pieces.concat())]);
    }
}
