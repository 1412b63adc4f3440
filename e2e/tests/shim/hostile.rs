//! Hostile and mistaken input: each is refused with one sentence that says what, where and how to mend it, and nothing
//! was touched: the bridge of the default network is made with the first pod, and is never made here.

use manifold_e2e::leaks::Snapshot;
use manifold_e2e::runtime::{CallOutcome, Pod};
use serde_json::{Value, json};

use crate::networks::With;
use crate::node::{NETWORKS, Node};
use crate::sandbox::Sandbox;

pub(crate) struct Bed {
    pub(crate) node: Node<'static>,
    pub(crate) sandbox: Sandbox,
    before: Snapshot,
    /// What was wrong with the refusals so far: all of them are told together.
    wrong: Vec<String>,
}

impl Bed {
    pub(crate) fn new(prefix: &str) -> Self {
        let node = Node::new(prefix);
        node.install_fakes(&["fake"]);
        for name in ["a", "b"] {
            node.define(name, &node.fake(&json!({})).with("capabilities", json!({"mac": true, "ips": true})));
        }
        let sandbox = node.sandbox("cart", "");
        let before = node.oracle(&[&sandbox.netns]).snapshot().unwrap();
        Self { node, sandbox, before, wrong: Vec::new() }
    }

    pub(crate) fn pod(&self) -> Pod {
        self.sandbox.pod.clone()
    }

    pub(crate) fn refused(&mut self, what: &str, outcome: &CallOutcome, code: u64, parts: &[&str]) {
        let text = outcome.error_text();
        let mut wrong = Vec::new();
        if outcome.error_code() != Some(code) {
            wrong.push(format!("the code is not {code}"));
        }
        wrong.extend(
            parts.iter().filter(|part| !text.contains(**part)).map(|part| format!("`{part}` is missing")),
        );
        if text
            .trim_end()
            .chars()
            .any(|c| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c))
        {
            wrong.push("it repeats control characters".into());
        }
        if text.len() > 3000 {
            wrong.push(format!("it has {} bytes", text.len()));
        }
        if !self.node.trace().is_empty() || !self.node.ledger().is_empty() {
            wrong.push("something was touched".into());
        }
        if !wrong.is_empty() {
            let shown: String = what.chars().take(120).collect();
            self.wrong.push(format!("{shown}\n    {}\n    {outcome}", wrong.join("; ")));
        }
    }

    fn annotation(&mut self, value: &str, parts: &[&str]) {
        let pod = self.pod().annotated(NETWORKS, value);
        let outcome = self.node.runtime().add(&pod).unwrap();
        let place = format!("pod {}/cart", self.node.ns.name());
        self.refused(value, &outcome, 7, &[&["fix: ", &place], parts].concat());
    }

    /// Nothing was touched, and all were refused as they should be.
    #[track_caller]
    pub(crate) fn finish(self) {
        assert!(self.wrong.is_empty(), "{} of them:\n{}", self.wrong.len(), self.wrong.join("\n"));
        self.node.assert_clean(&self.node.oracle(&[&self.sandbox.netns]), &self.before);
    }
}

/// One element of the long form with this key.
fn element(key: &str, value: Value) -> String {
    json!([json!({"name": "a"}).with(key, value)]).to_string()
}

// Proves: F-INP-1, F-INP-2, P-USE-4
#[test]
fn annotations_with_hostile_names_or_too_much_in_them() {
    let mut bed = Bed::new("names");
    let long = "x".repeat(300);
    let names =
        ["../../etc", "a/b/c", "%2f", "а", "a\u{202e}b", "a\r\nADD succeeded", "A", "-a", "a_b", &long, "."];
    for name in names {
        bed.annotation(name, &[NETWORKS, "element 1"]);
        bed.annotation(&json!([{"name": name}]).to_string(), &[NETWORKS, "element 1", "`name`"]);
        bed.annotation(&json!([{"name": "a", "namespace": name}]).to_string(), &["element 1", "`namespace`"]);
    }
    bed.annotation(&vec!["a"; 1000].join(","), &["1000 networks", "32 are allowed", "limits.networksPerPod"]);
    bed.annotation(&" ".repeat(65_537), &["65537 bytes", "65536 are allowed"]);
    bed.annotation("a,,b", &["element 2", "remove the extra comma"]);
    bed.annotation("a@x@y", &["more than one `@`"]);
    bed.annotation("a, b, missing", &["missing`: there is no such NetworkAttachmentDefinition"]);
    bed.finish();
}

// Proves: F-INP-3, NPWG-4.1.2.1.5-3, P-COR-8
#[test]
fn interface_names_that_cannot_be_or_are_taken() {
    let mut bed = Bed::new("interfaces");
    for name in ["x".repeat(16).as_str(), ".", "..", "a/b", "a:b", "a b", "a\u{7}b", "net%d"] {
        bed.annotation(&format!("a@{name}"), &["`interface`"]);
        bed.annotation(&element("interface", json!(name)), &["`interface`"]);
    }
    bed.annotation(
        "a@eth0",
        &["asks for interface `eth0`, which network `cluster-wide-network` has already"],
    );
    bed.annotation("a@lo", &["`lo`, which every pod has already"]);
    bed.annotation("a@x,b@x", &["`x` is the interface of element 1 too"]);
    bed.finish();
}

// Proves: F-INP-4, NPWG-4.1.2.1.3-1, NPWG-4.1.2.1.4-1, NPWG-4.1.2.1.7-1, NPWG-4.1.2.1.8-1, NPWG-4.1.2.1.11-2, MLT-DEP-14
#[test]
fn values_that_no_plugin_could_use() {
    let mut bed = Bed::new("values");
    for mac in
        ["01:00:5e:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00:00:00:01", "nonsense", "ff:ff:ff:ff:ff:ff"]
    {
        bed.annotation(&element("mac", json!(mac)), &["element 1", "`mac`", mac]);
    }
    for ip in ["1.2.3.4/33", "300.1.1.1", "::ffff:10.0.0.1", "10.0.0.1/", "", "fe80::1%eth0", "10.0.0.1/24 "]
    {
        bed.annotation(&element("ips", json!([ip])), &["element 1", "`ips`"]);
    }
    bed.annotation(&element("ips", json!("10.0.0.1")), &["`ips`", "a list of addresses"]);
    bed.annotation(
        &element("portMappings", json!([{"hostPort": 0, "containerPort": 80}])),
        &["`hostPort` is `0`"],
    );
    bed.annotation(
        &element("portMappings", json!([{"hostPort": 70000, "containerPort": 80}])),
        &["1 to 65535"],
    );
    bed.annotation(
        &element("bandwidth", json!({"ingressBurst": 5})),
        &["`ingressBurst` needs `ingressRate`"],
    );
    bed.annotation(&element("infiniband-guid", json!("02:00:00:00:00:01")), &["`infiniband-guid`"]);
    bed.annotation(&element("default-route", json!(["nowhere"])), &["`default-route`"]);
    bed.annotation(&element("cni-args", json!("x=1")), &["`cni-args`", "a map"]);
    let both = json!([{"name": "a", "ips": ["10.9.0.2/24"], "ipam-claim-reference": "claim"}]).to_string();
    bed.annotation(&both, &["`ipam-claim-reference`", "`ips` is set as well"]);
    let own = json!([{"name": "a", "ips": ["10.9.0.2/24"], "default-route": ["10.9.0.2"]}]).to_string();
    bed.annotation(&own, &["a pod cannot be its own gateway"]);
    let two = json!([{"name": "a", "default-route": []}, {"name": "b", "default-route": []}]).to_string();
    bed.annotation(&two, &["default-route"]);
    bed.finish();
}

// Proves: F-INP-5, NPWG-4.1.2-1, NPWG-4.1.2.1.1-1, NPWG-X-1, MLT-DEP-4
#[test]
fn annotations_that_are_not_what_they_look_like() {
    let mut bed = Bed::new("json");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let texts = [
        "{",
        r#"{"name": "a"}"#,
        r#"["a"]"#,
        "[1]",
        "[null]",
        "[{}]",
        r#"[{"name": "a"}"#,
        "\u{feff}[]",
        deep.as_str(),
        r#"[{"name": "a", "name": "b"}]"#,
        r#"[{"name": "\ud800"}]"#,
        r#"[{"name": 1e999}]"#,
        r#"[{"name": ["a"]}]"#,
    ];
    for text in texts {
        bed.annotation(text, &[NETWORKS]);
    }
    // What is passed over elsewhere is refused by a strict node.
    bed.node.entry.insert("strict".into(), json!(true));
    bed.annotation(&element("interfce", json!("x")), &["no such key", "did you mean `interface`?"]);
    bed.annotation(&element("namspace", json!("x")), &["did you mean `namespace`?"]);
    bed.annotation(&element("zzz", json!("x")), &["rename it `example.com/zzz`"]);
    for (key, value) in
        [("mac", json!("")), ("ips", json!([])), ("bandwidth", json!({})), ("interface", json!(""))]
    {
        bed.annotation(&element(key, value), &[&format!("key `{key}`"), "it is empty"]);
    }
    bed.finish();
}

// Proves: F-INP-1, F-INP-5, MLT-DLG-12
#[test]
fn definitions_that_are_hostile() {
    let mut bed = Bed::new("configs");
    let large = json!({"type": "fake", "x": "x".repeat(65_536)}).to_string();
    let deep = format!(r#"{{"type": "fake", "x": {}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let configs = [
        ("large", large.as_str(), "65536 are allowed"),
        ("deep", deep.as_str(), "deep"),
        ("double", r#"{"type": "fake", "type": "bridge"}"#, "duplicate key"),
        ("surrogate", r#"{"type": "fake", "x": "\ud800"}"#, "not valid"),
        ("bom", "\u{feff}{\"type\": \"fake\"}", "not valid"),
        ("tail", r#"{"type": "fake"} x"#, "not valid"),
        ("path", r#"{"type": "../../bin/sh"}"#, "a plugin is named, not located"),
        ("shell", r#"{"type": "$(reboot)"}"#, "needs plugin `$(reboot)`, which is not installed"),
        (
            "name",
            r#"{"type": "fake", "name": "../x"}"#,
            "a letter or a digit, at `/name` (line 1, column 26)",
        ),
        ("version", r#"{"type": "fake", "cniVersion": "9.9.9"}"#, "9.9.9"),
        ("list", "[]", "not valid"),
        ("args", r#"{"type": "fake", "args": "x"}"#, "`args`"),
    ];
    for (name, config, part) in configs {
        bed.node.ns.definition(name, config).unwrap();
        let ask = if name == "args" {
            json!([{"name": name, "cni-args": {"a": 1}}]).to_string()
        } else {
            name.into()
        };
        let network = format!("network `{}/{name}`", bed.node.ns.name());
        bed.annotation(&ask, &[&network, part]);
    }
    bed.finish();
}
