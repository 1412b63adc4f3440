use std::path::Path;

use super::*;

const LEAST: &str = r#"{"cniVersion":"1.0.0","name":"m","type":"manifold","clusterNetwork":"c""#;

fn with(more: &str) -> Result<Config, CniError> {
    Config::parse(format!("{LEAST}{more}}}").as_bytes())
}

fn bare(body: &str) -> Result<Config, CniError> {
    Config::parse(format!(r#"{{"cniVersion":"1.0.0","name":"m","type":"manifold"{body}}}"#).as_bytes())
}

#[track_caller]
fn refused(parsed: Result<Config, CniError>, wanted: u32, words: &str) {
    let error = parsed.unwrap_err();
    assert_eq!(error.code, wanted, "{error}");
    assert!(error.msg.contains(words), "{error}");
}

// Proves: MLT-CFG-2
#[test]
fn one_of_cluster_network_and_delegates_is_needed_and_the_first_wins() {
    refused(bare(""), 7, "names no default network");
    refused(bare(r#","delegates":[]"#), 7, "names no default network");
    refused(bare(r#","clusterNetwork":"""#), 7, "names no default network");
    let delegates = bare(r#","delegates":[{"type":"bridge","big":123456789012345678901234567890}]"#).unwrap();
    let DefaultNetwork::Delegates(list) = delegates.default_network else { panic!("delegates") };
    assert_eq!(list[0].get("big").unwrap().get(), "123456789012345678901234567890");
    let both = bare(r#","delegates":[{"type":"bridge"}],"clusterNetwork":"c""#).unwrap();
    assert!(matches!(both.default_network, DefaultNetwork::Cluster(c) if c == "c"));
    refused(bare(r#","delegates":"x""#), 7, "`delegates`");
    refused(bare(r#","delegates":["x"]"#), 7, "`delegates`");
}

// Proves: MLT-CFG-3
#[test]
fn default_networks_are_only_looked_at_beside_a_cluster_network() {
    let config = with(r#","defaultNetworks":["a","b"]"#).unwrap();
    assert_eq!(config.default_networks, ["a", "b"]);
    let config = bare(r#","delegates":[{"type":"x"}],"defaultNetworks":["a"]"#).unwrap();
    assert!(config.default_networks.is_empty());
}

// Shows part of: S-22
#[test]
fn what_is_left_to_pods_is_nothing_unless_told_and_a_wrong_word_is_named() {
    let of = |more: &str| crate::policy::of(&with(more).unwrap());
    assert_eq!(of("").unwrap().left_to_pods, manifold_plan::LeftToPods::default());
    let left = of(r#","multusNamespace":"nets","allowedDefaultNetworks":["a","b/c"],"defaultNetworkRequests":["ips","mac"]"#)
        .unwrap()
        .left_to_pods;
    let names: Vec<String> = left.definitions.iter().map(ToString::to_string).collect();
    let requests: Vec<String> = left.requests.iter().map(ToString::to_string).collect();
    assert_eq!(
        (names, requests),
        (vec!["b/c".to_owned(), "nets/a".to_owned()], vec!["ips".into(), "mac".into()])
    );
    for (more, key) in [
        (r#","allowedDefaultNetworks":["a/b/c"]"#, "`allowedDefaultNetworks`"),
        (r#","defaultNetworkRequests":["bandwidth"]"#, "`defaultNetworkRequests`"),
    ] {
        let error = of(more).unwrap_err();
        assert!(error.code == 7 && error.msg.contains(key), "{error}");
    }
}

// Proves: COMPAT-6
#[test]
fn the_entrys_own_keys_are_read_in_any_case() {
    let odd = bare(
        r#","ClusterNetwork":"c","confdir":"/c","NamespaceIsolation":false,"Compat":{"DropUnsupportedRequests":true}"#,
    )
    .unwrap();
    assert!(matches!(odd.default_network, DefaultNetwork::Cluster(c) if c == "c"));
    assert_eq!(odd.conf_dir, Path::new("/c"));
    assert!(odd.compat.drop_unsupported_requests);
    refused(with(r#","BinDir":"bin""#), 7, "`binDir`");
    assert_eq!(with(r#","confDir":"/c","ConfDir":"/d""#).unwrap().conf_dir, Path::new("/c"));
}

// Shows part of: COMPAT-1
#[test]
fn a_node_is_lenient_unless_told_to_be_strict() {
    let strict = |more: &str| crate::policy::of(&with(more).unwrap()).unwrap().strict;
    assert!(!strict("") && !strict(r#","strict":null"#) && !strict(r#","strict":false"#));
    assert!(strict(r#","strict":true"#));
    refused(with(r#","strict":"yes""#), 7, "`strict`");
}

// Proves: MLT-CFG-5
#[test]
fn bin_dir_comes_before_the_folders_of_the_runtime() {
    let config = with("").unwrap();
    assert_eq!(config.conf_dir, Path::new("/etc/cni/multus/net.d"));
    assert_eq!(config.cni_dir, Path::new("/var/lib/cni/multus"));
    assert_eq!(config.state_dir, Path::new("/var/lib/cni/manifold"));
    let folders = config.plugin_folders(OsStr::new("/usr/lib/cni:/opt/cni/bin::relative:/x"));
    assert_eq!(folders, ["/opt/cni/bin", "/usr/lib/cni", "/x"].map(PathBuf::from));
    let config = with(r#","binDir":"/b","confDir":"/c","cniDir":"/d","stateDir":"/s""#).unwrap();
    assert_eq!(config.plugin_folders(OsStr::new("/opt/cni/bin"))[0], Path::new("/b"));
    assert_eq!((config.conf_dir, config.cni_dir, config.state_dir), ("/c".into(), "/d".into(), "/s".into()));
    refused(with(r#","binDir":"bin""#), 7, "`binDir`");
}

// Proves: MLT-CFG-6
#[test]
fn isolation_is_on_and_a_list_of_global_namespaces_replaces_the_default() {
    let config = with("").unwrap();
    assert!(config.namespace_isolation);
    assert_eq!(config.global_namespaces, ["default"]);
    let config = with(r#","namespaceIsolation":false,"globalNamespaces":" a, b ,,""#).unwrap();
    assert!(!config.namespace_isolation);
    assert_eq!(config.global_namespaces, ["a", "b"]);
}

// Proves: MLT-CFG-7
#[test]
fn system_and_multus_namespaces_have_the_defaults_of_multus() {
    let config = with("").unwrap();
    assert_eq!(
        (config.system_namespaces, config.multus_namespace),
        (vec!["kube-system".into()], "kube-system".into())
    );
    let config = with(r#","systemNamespaces":["a"],"multusNamespace":"m""#).unwrap();
    assert_eq!((config.system_namespaces, config.multus_namespace), (vec!["a".into()], "m".into()));
}

// Proves: MLT-CFG-8, MLT-CFG-9, MLT-CFG-10
#[test]
fn keys_of_multus_are_read_under_their_names() {
    let config = with("").unwrap();
    assert_eq!(config.readiness_indicator_file, None);
    assert!(!config.retry_delete_on_error && config.auxiliary_chain.is_none());
    let config = with(
        r#","readinessindicatorfile":"/r","retryDeleteOnError":true,"auxiliaryCNIChainName":"vendor","kubeconfig":"/k""#,
    )
    .unwrap();
    assert_eq!(config.readiness_indicator_file, Some("/r".into()));
    assert!(config.retry_delete_on_error);
    assert_eq!(config.auxiliary_chain.unwrap().as_str(), "vendor");
    assert_eq!(config.kubeconfig, Some("/k".into()));
    assert_eq!(with(r#","readinessindicatorfile":"""#).unwrap().readiness_indicator_file, None);
    refused(with(r#","auxiliaryCNIChainName":"../x""#), 7, "auxiliaryCNIChainName");
}

// Proves: MLT-CFG-12
#[test]
fn unknown_keys_are_ignored() {
    assert!(with(r#","kubernetes":{"networks":[1]},"junk":[[[]]],"alwaysUseDefault":1"#).is_ok());
}

// Proves: MLT-CFG-1
#[test]
fn standard_keys_are_typed() {
    let config = with(
        r#","capabilities":{"mac":true,"ips":false},"runtimeConfig":{"mac":"02:00:00:00:00:01"},"prevResult":{"a":1}"#,
    )
    .unwrap();
    assert_eq!(config.cni_version, Version::V1_0_0);
    assert_eq!(config.capabilities, BTreeMap::from([("mac".into(), true), ("ips".into(), false)]));
    assert_eq!(config.runtime_config.get("mac").unwrap().get(), r#""02:00:00:00:00:01""#);
    assert_eq!(config.prev_result().unwrap().get(), r#"{"a":1}"#);
    assert!(with(r#","prevResult":null"#).unwrap().prev_result().is_none());
    refused(with(r#","capabilities":{"mac":"yes"}"#), 7, "`capabilities.mac`");
    refused(Config::parse(br#"{"cniVersion":"1.0","name":"m","clusterNetwork":"c"}"#), 1, "1.0");
    refused(Config::parse(br#"{"cniVersion":"9.9.9","name":"m","clusterNetwork":"c"}"#), 1, "9.9.9");
    refused(Config::parse(br#"{"clusterNetwork":"c"}"#), 7, "`name`");
    refused(Config::parse(br#"{"name":"../m","clusterNetwork":"c"}"#), 7, "`name`");
}

// Proves: MLT-CFG-1
#[test]
fn a_prev_result_of_another_family_is_an_error_for_those_who_read_it_and_only_for_them() {
    let ip = r#"{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}]}"#;
    let result = with(&format!(r#","prevResult":{ip}"#)).unwrap().parsed_prev_result().unwrap().unwrap();
    assert_eq!(result.ips.len(), 1);
    assert!(with("").unwrap().parsed_prev_result().unwrap().is_none());
    for bad in [
        r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"}}"#,
        r#"{"cniVersion":"9.9.9"}"#,
        "7",
        r#"{"ips":1}"#,
    ] {
        // The entry itself stands, so that a DEL goes on (F-INP-6).
        let config = with(&format!(r#","prevResult":{bad}"#)).unwrap();
        assert!(config.parsed_prev_result().unwrap_err().msg.contains("prevResult"), "{bad}");
    }
}

// Proves: F-INP-5
#[test]
fn text_that_two_parsers_could_read_differently_is_refused() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused(with(&format!(r#","x":{deep}"#)), 6, "nested deeper");
    refused(with(r#","name":"again""#), 6, "duplicate key");
    for bad in ["", "null", "[]", "{", "\u{feff}{}", "{}{}", r#"{"name":"\ud800"}"#] {
        assert_eq!(Config::parse(bad.as_bytes()).unwrap_err().code, 6, "{bad:?}");
    }
}

#[test]
fn a_key_of_the_wrong_kind_is_named() {
    for (key, value) in [
        ("clusterNetwork", "1"),
        ("defaultNetworks", "\"a\""),
        ("defaultNetworks", "[1]"),
        ("kubeconfig", "{}"),
        ("manifests", "\"rel/ative\""),
        ("namespaceIsolation", "\"yes\""),
        ("globalNamespaces", "[\"a\"]"),
        ("allowedDefaultNetworks", "\"a\""),
        ("defaultNetworkRequests", "[1]"),
        ("limits", "3"),
        ("plugins", "\"prefer\""),
        ("logToStderr", "1"),
        ("logOptions", "[]"),
        ("runtimeConfig", "[]"),
        ("cniVersion", "1"),
        ("name", "7"),
    ] {
        let text =
            format!(r#"{{"name":"m","{key}":{value},"x":0}}"#).replace(r#""name":"m","name""#, r#""name""#);
        let text =
            if key == "clusterNetwork" { text } else { text.replace(r#""x":0"#, r#""clusterNetwork":"c""#) };
        refused(Config::parse(text.as_bytes()), 7, &format!("`{key}`"));
    }
}

#[test]
fn which_plugins_are_bundled_is_a_word_or_a_list() {
    let bridge: manifold_cni::PluginType = "bridge".parse().unwrap();
    let choice = |more: &str| with(more).unwrap().bundled.choice(&bridge);
    assert_eq!(choice(""), Choice::BundledThenDisk);
    assert_eq!(choice(r#","plugins":{}"#), Choice::BundledThenDisk);
    assert_eq!(choice(r#","plugins":{"bundled":"prefer"}"#), Choice::BundledThenDisk);
    assert_eq!(choice(r#","plugins":{"bundled":"fallback"}"#), Choice::DiskThenBundled);
    assert_eq!(choice(r#","plugins":{"bundled":"off"}"#), Choice::DiskOnly);
    assert_eq!(choice(r#","plugins":{"bundled":["bridge"]}"#), Choice::BundledThenDisk);
    assert_eq!(choice(r#","plugins":{"bundled":["macvlan"]}"#), Choice::DiskOnly);
    refused(with(r#","plugins":{"bundled":"always"}"#), 7, "`plugins.bundled`");
    refused(with(r#","plugins":{"bundled":["../x"]}"#), 7, "`plugins.bundled`");
}

#[test]
fn limits_have_defaults_and_bounds() {
    let limits = with("").unwrap().limits;
    assert_eq!((limits.delegate.as_secs(), limits.add.as_secs(), limits.networks_per_pod), (30, 90, 32));
    let limits = with(r#","limits":{"delegateSeconds":5,"networksPerPod":8}"#).unwrap().limits;
    assert_eq!((limits.delegate.as_secs(), limits.add.as_secs(), limits.networks_per_pod), (5, 90, 8));
    refused(with(r#","limits":{"addSeconds":0}"#), 7, "`limits.addSeconds`");
    refused(with(r#","limits":{"networksPerPod":1e9}"#), 7, "`limits.networksPerPod`");
}

// Shows part of: COMPAT-24
#[test]
fn what_check_checks_is_one_of_three_words() {
    assert_eq!(with("").unwrap().check, CheckScope::Default);
    for (word, scope) in [
        ("", CheckScope::Default),
        ("default", CheckScope::Default),
        ("all", CheckScope::All),
        ("off", CheckScope::Off),
    ] {
        assert_eq!(with(&format!(r#","check":"{word}""#)).unwrap().check, scope);
    }
    refused(with(r#","check":"none""#), 7, "`check`");
    refused(with(r#","check":false"#), 7, "`check`");
}

// Proves: MLT-CFG-11
#[test]
fn log_keys_have_the_names_and_defaults_of_multus() {
    let log = with("").unwrap().log;
    let rotation = Rotation { max_bytes: 100 << 20, max_age_days: 5, max_backups: 5, compress: true };
    assert_eq!(log, Log { to_stderr: true, file: None, level: Level::Panic, rotation });
    let log = with(
        r#","logToStderr":false,"logFile":"/l","logLevel":"Debug","logOptions":{"maxAge":1,"maxSize":2,"maxBackups":3,"compress":false}"#,
    )
    .unwrap()
    .log;
    let rotation = Rotation { max_bytes: 2 << 20, max_age_days: 1, max_backups: 3, compress: false };
    assert_eq!(log, Log { to_stderr: false, file: Some("/l".into()), level: Level::Debug, rotation });
    for (word, level) in [("panic", Level::Panic), ("error", Level::Error), ("verbose", Level::Verbose)] {
        assert_eq!(with(&format!(r#","logLevel":"{word}""#)).unwrap().log.level, level);
    }
    assert!(Level::Debug > Level::Verbose && Level::Verbose > Level::Error && Level::Error > Level::Panic);
    refused(with(r#","logLevel":"loud""#), 7, "`logLevel`");
}

#[test]
fn annotations_come_from_the_runtime_where_it_passes_them() {
    assert_eq!(with("").unwrap().pod_annotations().unwrap(), None);
    let config = with(
        r#","runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"k8s.v1.cni.cncf.io/networks":"a","x":"y"}}"#,
    );
    assert_eq!(config.unwrap().pod_annotations().unwrap().unwrap().networks(), Some("a"));
    let odd = with(r#","runtimeConfig":{"io.kubernetes.cri.pod-annotations":[1]}"#).unwrap();
    assert!(odd.pod_annotations().unwrap_err().msg.contains("pod-annotations"));
}

// Proves: F-RUN-6
#[test]
fn no_list_of_attachments_is_not_an_empty_list() {
    assert_eq!(with("").unwrap().valid_attachments().unwrap(), None);
    assert_eq!(
        with(r#","cni.dev/valid-attachments":[]"#).unwrap().valid_attachments().unwrap(),
        Some(vec![])
    );
    let one = r#"[{"containerID":"c","ifname":"eth0"}]"#;
    let kept = AttachmentId { container: "c".into(), ifname: "eth0".into() };
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        let config = with(&format!(r#","{key}":{one}"#)).unwrap();
        assert_eq!(config.valid_attachments().unwrap(), Some(vec![kept.clone()]));
    }
    let odd = with(r#","cni.dev/valid-attachments":[{"containerID":1}]"#).unwrap();
    assert!(odd.valid_attachments().unwrap_err().msg.contains("valid-attachments"));
}

proptest::proptest! {
    #[test]
    fn no_input_makes_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Config::parse(&bytes);
    }

    // Proves: S-8
    #[test]
    fn no_value_under_any_key_makes_the_parser_panic(at in 0usize..32, value in "[ -~]{0,40}") {
        let keys = ["cniVersion", "name", "capabilities", "runtimeConfig", "clusterNetwork", "delegates",
            "defaultNetworks", "kubeconfig", "limits", "plugins", "logOptions", "logLevel", "confDir"];
        let key = keys[at % keys.len()];
        let _ = Config::parse(format!(r#"{{"{key}":{value},"x":1}}"#).as_bytes());
        let quoted = serde_json::to_string(&value).unwrap();
        let _ = Config::parse(format!(r#"{{"{key}":{quoted},"x":1}}"#).as_bytes());
    }
}

// Shows part of: F-API-1
#[test]
fn a_pod_without_any_annotation_is_told_by_null_and_nobody_has_to_be_asked() {
    let config = with(r#","runtimeConfig":{"io.kubernetes.cri.pod-annotations":null}"#).unwrap();
    assert_eq!(config.pod_annotations().unwrap(), Some(Annotations::default()));
}
