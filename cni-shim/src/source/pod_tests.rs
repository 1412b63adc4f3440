use super::*;

fn pod(uid: &str, source: Option<&str>) -> Pod {
    let annotations = source.map(|s| (CONFIG_SOURCE, s)).into_iter().collect();
    Pod { namespace: "shop".into(), name: "cart-7".into(), uid: uid.into(), annotations }
}

#[track_caller]
fn compare(uid: &str, source: Option<&str>, wanted: Option<&str>, same: bool) {
    let who = PodRef::new("shop", "cart-7", wanted).unwrap();
    assert_eq!(pod(uid, source).same_as(&who).is_ok(), same);
}

// Proves: MLT-POD-3, F-POD-3
#[test]
fn a_pod_of_the_same_name_with_another_uid_is_another_pod() {
    compare("aaa", None, Some("aaa"), true);
    compare("aaa", None, Some("bbb"), false);
    compare("aaa", Some("api"), Some("bbb"), false);
    compare("aaa", None, None, true);
    compare("aaa", None, Some(""), true);
    let who = PodRef::new("shop", "cart-7", Some("bbb")).unwrap();
    let error = pod("aaa", None).same_as(&who).unwrap_err();
    assert_eq!(error.code(), 11);
    assert!(error.to_string().contains("`aaa`") && error.to_string().contains("`bbb`"), "{error}");
}

// Proves: MLT-POD-3, F-POD-4
#[test]
fn a_static_pod_is_not_compared_with_its_mirror() {
    compare("mirror", Some("file"), Some("static"), true);
    compare("mirror", Some("http"), Some("static"), true);
}

// Proves: F-INP-2
#[test]
fn names_that_could_leave_a_path_are_refused() {
    let long = "a".repeat(300);
    for bad in [
        "",
        "..",
        "../../etc",
        "a/b",
        "%2f",
        "a\0",
        "а",
        "\u{202e}a",
        "a\r\nb",
        "A",
        "-a",
        "a-",
        long.as_str(),
    ] {
        assert!(PodRef::new(bad, "cart-7", None).is_err(), "namespace {bad:?}");
        let error = PodRef::new("shop", bad, None).unwrap_err().to_string();
        assert!(!error.contains('\r') && !error.contains('\n') && !error.contains('\u{202e}'), "{error:?}");
    }
    assert!(PodRef::new("a.b", "cart-7", None).is_err());
    assert!(PodRef::new("shop", "web.0.example", None).is_ok());
    assert!(PodRef::new("shop", "web", Some("../x")).is_err());
}

// Proves: S-13
#[test]
fn only_the_known_annotations_are_kept() {
    let raw = format!(r#"{{"{NETWORKS}":"a","secret":"x","other":{{"deep":[1]}},"{CONFIG_SOURCE}":"file"}}"#);
    let read: Annotations = serde_json::from_str(&raw).unwrap();
    assert_eq!(read, [(NETWORKS, "a"), (CONFIG_SOURCE, "file")].into_iter().collect());
    assert_eq!(read.get("secret"), None);
    assert_eq!(read.networks(), Some("a"));
    assert_eq!(serde_json::from_str::<Annotations>("null").unwrap(), Annotations::default());
    assert!(serde_json::from_str::<Annotations>(&format!(r#"{{"{NETWORKS}":1}}"#)).is_err());
}
