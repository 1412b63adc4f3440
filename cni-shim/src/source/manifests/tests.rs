use std::os::unix::fs::PermissionsExt;

use super::*;

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: cart-7
  namespace: shop
  annotations: {k8s.v1.cni.cncf.io/networks: 'a, b', other: x}
spec: {containers: []}
---
apiVersion: v1
kind: Pod
metadata: {name: plain}
";

const NETWORKS: &str = "
---
apiVersion: v1
kind: List
items:
- {apiVersion: k8s.cni.cncf.io/v1, kind: NetworkAttachmentDefinition, metadata: {name: a, namespace: shop}, spec: {config: A}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}}
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: b, namespace: shop}
spec: {config: B}
---
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn who(namespace: &str, name: &str, uid: Option<&str>) -> PodRef {
    PodRef::new(namespace, name, uid).unwrap()
}

fn nad(name: &str) -> NadRef {
    NadRef::new("shop", name).unwrap()
}

fn now() -> Instant {
    Instant::now()
}

#[track_caller]
fn wrong(files: &[(&str, &str)], words: &[&str]) {
    let dir = folder(files);
    let error = Manifests::new(dir.path()).definitions(&[nad("a")], now()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::BadFile, 7), "{error}");
    for words in words {
        assert!(error.what.contains(words), "{words} in {error}");
    }
}

#[test]
fn pods_and_definitions_are_read_from_a_folder() {
    let dir =
        folder(&[("pods.yaml", PODS), ("networks.yml", NETWORKS), (".hidden.yaml", "{"), ("notes.txt", "{")]);
    let mut source = Manifests::new(dir.path());
    let pod = source.pod(&who("shop", "cart-7", Some("any")), now()).unwrap();
    assert_eq!(pod.annotations.networks(), Some("a, b"));
    assert!(pod.same_as(&who("shop", "cart-7", Some("any"))).is_ok(), "a manifest without UID is the pod");
    assert_eq!(source.pod(&who("default", "plain", None), now()).unwrap().namespace, "default");
    let found = source.definitions(&[nad("b"), nad("missing"), nad("a"), nad("b")], now()).unwrap();
    let configs: Vec<_> = found.iter().map(|n| n.as_ref().and_then(|n| n.config.as_deref())).collect();
    assert_eq!(configs, [Some("B"), None, Some("A"), Some("B")]);
}

#[test]
fn one_file_is_enough() {
    let dir = folder(&[("all.yaml", &format!("{PODS}{NETWORKS}"))]);
    let path = dir.path().join("all.yaml");
    let mut source = Manifests::new(&path);
    assert!(source.definitions(&[nad("a")], now()).unwrap()[0].is_some());
    let pod = who("shop", "cart-7", None);
    source.publish(&pod, "[1]", now()).unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("all.yaml.status/shop_cart-7.json")).unwrap(),
        "[1]\n"
    );
}

// Proves: F-POD-3
#[test]
fn a_pod_that_is_in_no_manifest_is_an_error() {
    let dir = folder(&[("pods.yaml", PODS)]);
    let error = Manifests::new(dir.path()).pod(&who("shop", "other", None), now()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::NotFound, 11));
    assert!(error.what.contains("`shop/other`"), "{error}");
}

// Proves: S-3
#[test]
fn a_status_is_replaced_whole_and_for_root_alone() {
    let dir = folder(&[("pods.yaml", PODS)]);
    let mut source = Manifests::new(dir.path());
    let pod = who("shop", "cart-7", Some("u"));
    for text in ["[1]", "[2]"] {
        assert_eq!(source.publish(&pod, text, now()).unwrap(), Published::Done);
        let file = dir.path().join(".status/shop_cart-7.json");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{text}\n"));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let status = dir.path().join(".status");
    assert_eq!(std::fs::metadata(&status).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&status).unwrap().count(), 1, "no temporary file stays");
    // The folder of statuses is not read as manifests.
    assert!(source.pod(&pod, now()).is_ok());
}

// Proves: P-COR-2
#[test]
fn the_status_of_a_pod_that_was_replaced_or_is_gone_is_dropped() {
    let dir = folder(&[("pod.yaml", "{kind: Pod, metadata: {name: a, uid: one}}")]);
    let mut source = Manifests::new(dir.path());
    let done = source.publish(&who("default", "a", Some("two")), "[]", now()).unwrap();
    assert!(matches!(done, Published::Superseded(why) if why.contains("replaced")));
    let done = source.publish(&who("default", "b", None), "[]", now()).unwrap();
    assert!(matches!(done, Published::Superseded(why) if why.contains("gone")));
    assert!(!dir.path().join(".status").exists());
}

#[test]
fn a_status_that_cannot_be_written_is_told() {
    let dir = folder(&[("pod.yaml", "{kind: Pod, metadata: {name: a}}"), (".status", "a file in the way")]);
    let error = Manifests::new(dir.path()).publish(&who("default", "a", None), "[]", now()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::Io, 11));
    assert!(error.what.contains("default_a.json"), "{error}");
}

#[test]
fn a_double_names_both_files() {
    let one = "{kind: NetworkAttachmentDefinition, metadata: {name: a, namespace: shop}}";
    wrong(&[("x.yaml", one), ("y.yaml", one)], &["network `shop/a`", "x.yaml", "y.yaml"]);
    no_pod(&[("x.yaml", &format!("{PODS}---\n{PODS}"))], &["pod `shop/cart-7`", "x.yaml"]);
}

/// The pod `shop/cart-7` cannot be had, and the error has these words.
#[track_caller]
fn no_pod(files: &[(&str, &str)], words: &[&str]) {
    let dir = folder(files);
    let error = Manifests::new(dir.path()).pod(&who("shop", "cart-7", None), now()).unwrap_err();
    assert_eq!((error.kind, error.code()), (Kind::BadFile, 7), "{error}");
    for words in words {
        assert!(error.what.contains(words), "{words} in {error}");
    }
}

/// Each is wrong, and none is one of the objects of [`PODS`] and [`NETWORKS`].
const BROKEN: [&str; 12] = [
    "kind: Pod\nmetadata: {name: a}\n---\nkind: [\n",
    "kind: Pod\nkind: Pod\n",
    "- 1\n",
    "a: 1\n",
    "a: {{ .Values.a }}\n",
    "{kind: Pod, metadata: {name: '../x'}}",
    "{kind: Pod}",
    "{kind: Pod, metadata: {name: other, namespace: shop, annotations: {k8s.v1.cni.cncf.io/networks: [a]}}}",
    "{kind: NetworkAttachmentDefinition, metadata: {name: A}}",
    "{kind: NetworkAttachmentDefinition, metadata: {name: other, namespace: shop}, spec: {config: {}}}",
    "{kind: NetworkAttachmentDefinition, metadata: {name: c, namespace: shop}}\n---\n{kind: NetworkAttachmentDefinition, metadata: {name: c, namespace: shop}}",
    "\u{0}",
];

// Proves: COMPAT-8
#[test]
fn a_broken_object_stops_no_pod_that_does_not_use_it() {
    for broken in BROKEN {
        // In a file before the others, and in the very file, between the good ones.
        let between = format!("{PODS}---\n{broken}\n---{NETWORKS}");
        for files in
            [&[("0.yaml", broken), ("p.yaml", PODS), ("n.yaml", NETWORKS)][..], &[("all.yaml", &between)]]
        {
            let dir = folder(files);
            let mut source = Manifests::new(dir.path());
            let pod =
                source.pod(&who("shop", "cart-7", None), now()).unwrap_or_else(|e| panic!("{broken}: {e}"));
            assert_eq!(pod.annotations.networks(), Some("a, b"));
            let found = source.definitions(&[nad("a"), nad("b"), nad("gone")], now()).unwrap();
            assert_eq!(
                found.iter().map(Option::is_some).collect::<Vec<_>>(),
                [true, true, false],
                "{broken}"
            );
            assert_eq!(source.publish(&who("shop", "cart-7", None), "[]", now()).unwrap(), Published::Done);
        }
    }
}

// Proves: COMPAT-8
#[test]
fn a_broken_object_stops_the_pods_that_use_it() {
    let of = |name: &str, rest: &str| {
        format!("{{kind: NetworkAttachmentDefinition, metadata: {{name: {name}, namespace: shop}}, {rest}}}")
    };
    let object = of("a", "spec: {config: {}}");
    wrong(&[("x.yaml", &object)], &["x.yaml", "document 1", "the definition is not valid", "`spec.config`"]);
    // A good one of the same name does not make up for it.
    wrong(&[("x.yaml", &object), ("y.yaml", NETWORKS)], &["x.yaml"]);
    let pod = "{kind: Pod, metadata: {name: cart-7, namespace: shop, annotations: {k8s.v1.cni.cncf.io/networks: 1}}}";
    no_pod(&[("x.yaml", pod)], &["x.yaml", "document 1", "the pod is not valid", "must be text"]);
    let uid = "{kind: Pod, metadata: {name: cart-7, namespace: shop, uid: 1}}";
    no_pod(&[("x.yaml", uid)], &["the pod is not valid"]);
}

// Proves: COMPAT-8
#[test]
fn what_is_missing_may_be_what_cannot_be_read() {
    let slip = "kind: Pod\nmetadata: {name: a}\n---\nkind: [\n";
    no_pod(&[("x.yaml", slip)], &["pod `shop/cart-7`", "x.yaml", "document 2", "line "]);
    for (broken, words) in
        [("- 1\n", "not an object"), ("a: 1\n", "no `kind`"), ("\u{0}", "x.yaml"), (slip, "line 5")]
    {
        no_pod(&[("x.yaml", broken)], &["in no manifest that can be read", "x.yaml"]);
        let dir = folder(&[("x.yaml", broken)]);
        let mut source = Manifests::new(dir.path());
        assert_eq!(source.definitions(&[nad("a")], now()).unwrap(), [None]);
        assert!(source.unread()[0].contains(words), "{words}: {:?}", source.unread());
    }
    // One whose name can be read is not it.
    let dir = folder(&[("x.yaml", "{kind: Pod, metadata: {name: b, uid: 1}}")]);
    let mut source = Manifests::new(dir.path());
    assert_eq!(source.pod(&who("default", "a", None), now()).unwrap_err().kind, Kind::NotFound);
    source.definitions(&[nad("a")], now()).unwrap();
    assert!(source.unread().is_empty());
}

#[test]
fn missing_manifests_are_told_by_their_path() {
    let error = Manifests::new(Path::new("/nowhere/m.yaml")).pod(&who("a", "b", None), now()).unwrap_err();
    assert_eq!(error.code(), 7);
    assert!(error.what.contains("`/nowhere/m.yaml`"), "{error}");
}

proptest::proptest! {
    // Proves: S-8
    #[test]
    fn no_manifest_makes_the_reader_panic(text in "[-a-z:{}\\[\\]&*!|>'\" \n]{0,80}") {
        let dir = folder(&[("x.yaml", &text)]);
        let _ = Manifests::new(dir.path()).definitions(&[nad("a")], now());
    }
}
