//! Pods are judged when they are created: what their node would refuse is refused here, in the node's own sentence.

use http::Method;
use serde_json::{Value, json};

use super::bed::{Outcome, bed, definition, definitions, pod, pods, request, until};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const DEFAULT: &str = "v1.multus-cni.io/default-network";
const PLAIN: &str = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;
/// Known to take neither an address nor a MAC address from a pod, by capability or by CNI_ARGS.
const DEAF: &str = r#"{"cniVersion": "1.0.0", "type": "ptp", "ipam": {"type": "dhcp"}}"#;
const ABLE: &str = r#"{"cniVersion": "1.0.0", "type": "fake", "capabilities": {"ips": true, "mac": true}}"#;

/// Makes the networks that these tests name, once.
fn networks() {
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        let bed = bed();
        bed.api.ensure_namespace("shop").unwrap();
        for (name, config) in [("plain", PLAIN), ("able", ABLE), ("deaf", DEAF)] {
            bed.put_definition("shop", name, Some(config));
        }
        bed.put_definition("shop", "on-disk", None);
    });
}

fn create(object: &Value) -> Outcome {
    networks();
    bed().dry_run(&Method::POST, &pods("shop"), Some(object))
}

fn asking(networks: &str) -> Outcome {
    create(&pod("cart", &[(NETWORKS, networks)]))
}

#[track_caller]
fn refused(networks: &str, words: &[&str]) {
    bed().refused(&asking(networks), words);
}

#[track_caller]
fn allowed(networks: &str) {
    bed().allowed(&asking(networks), &[]);
}

#[test]
fn a_selection_that_does_not_parse_is_refused() {
    refused("plain,,able", &["annotation `k8s.v1.cni.cncf.io/networks`", "element 2"]);
    allowed("plain,able");
    refused(r#"[{"name": "plain",}]"#, &["annotation"]);
    allowed(r#"[{"name": "plain"}]"#);
    refused(r#"[{"nmae": "plain"}]"#, &["element 1"]);
    refused("Plain", &["Plain"]);
    refused("plain@an-interface-name-too-long", &["element 1"]);
    allowed("plain@storage0");
}

// Proves: P-COR-6
#[test]
fn a_request_that_no_plugin_can_honour_is_refused() {
    let with = |network: &str, key: &str, value: &Value| json!([{"name": network, key: value}]).to_string();
    for (key, value) in [("ips", json!(["10.1.0.7/24"])), ("mac", json!("02:00:00:00:00:07"))] {
        let capability = format!("capability `{key}`");
        refused(&with("deaf", key, &value), &["`shop/deaf`", &capability, "interface net1 of pod shop/cart"]);
        allowed(&with("able", key, &value));
    }
    let ports = json!([{"hostPort": 80, "containerPort": 80}]);
    refused(&with("able", "portMappings", &ports), &["capability `portMappings`"]);
}

// Proves: P-COR-8
#[test]
fn interface_names_that_clash_are_refused() {
    refused("plain@eth0", &["interface `eth0`", "has already"]);
    refused("plain@a,able@a", &["`a`"]);
    refused("plain@lo", &["`lo`"]);
    allowed("plain@a,able@b");
    allowed("plain@net2,able");
}

// Proves: F-INP-1
#[test]
fn more_networks_than_a_pod_may_have_are_refused() {
    let many = |n: usize| vec!["plain"; n].join(",");
    refused(&many(33), &["33 networks", "32"]);
    allowed(&many(32));
}

#[test]
fn a_network_that_is_not_valid_refuses_its_pods() {
    networks();
    let old = |network: &str| {
        bed().dry_run(&Method::POST, &pods("old"), Some(&pod("cart", &[(NETWORKS, network)])))
    };
    bed().refused(&old("broken"), &["network `old/broken`", "10.1.0.0/40"]);
    bed().put_definition("old", "sound", Some(PLAIN));
    bed().allowed(&old("sound"), &[]);
}

#[test]
fn a_network_that_is_being_deleted_takes_no_new_pods() {
    networks();
    let mut object = definition("leaving", Some(PLAIN));
    object["metadata"]["finalizers"] = json!(["a.example/hold"]);
    bed().put("shop", &object);
    allowed("leaving");
    let path = format!("{}/leaving", definitions("shop"));
    let gone = super::bed::judged(&bed().client, &Method::DELETE, &path, None, None);
    assert!(gone.allowed(), "{gone:?}");
    // The watch hears of it a moment later, and what it knows speaks for the pod until then.
    until("the deletion is known", || asking("leaving").status == 403);
    refused("leaving", &["network `shop/leaving`", "being deleted"]);
}

/// It is made anew, and until then every node goes on with what it has of it on disk.
#[test]
fn a_default_network_that_is_being_deleted_takes_pods_all_the_same() {
    let _turn = super::bed::default_network_alone();
    networks();
    let leaves = |namespace: &str, name: &str| {
        let mut object = definition(name, Some(PLAIN));
        object["metadata"]["finalizers"] = json!(["a.example/hold"]);
        bed().put(namespace, &object);
        let path = format!("{}/{name}", definitions(namespace));
        assert!(super::bed::judged(&bed().client, &Method::DELETE, &path, None, None).allowed());
        path
    };
    let path = leaves("manifold-system", "cluster-wide-network");
    leaves("shop", "leaving-later");
    until("the deletion of both is known", || asking("leaving-later").status == 403);
    let outcome = asking("plain");
    let free = json!({"metadata": {"finalizers": null}});
    bed().api.client().send("PATCH", &path, &free).unwrap();
    bed().allowed(&outcome, &[]);
}

// Proves: P-USE-4
#[test]
fn a_network_that_does_not_exist_is_a_warning_with_its_whole_name() {
    let outcome = asking("nothing");
    bed().allowed(&outcome, &["network `shop/nothing`"]);
    assert!(outcome.warnings[0].contains("until then the pod does not start"), "{outcome:?}");
    bed().allowed(&create(&pod("cart", &[(DEFAULT, "shop/nothing")])), &["network `shop/nothing`"]);
    // What else is wrong is refused all the same.
    refused("nothing,plain@eth0", &["`eth0`"]);
}

#[test]
fn where_the_values_say_so_a_missing_network_is_a_refusal() {
    networks();
    let strict = |network: &str| {
        bed().dry_run(&Method::POST, &pods("strict"), Some(&pod("cart", &[(NETWORKS, network)])))
    };
    bed().refused(&strict("nothing"), &["network `strict/nothing`", "no such NetworkAttachmentDefinition"]);
    bed().put_definition("strict", "there", Some(PLAIN));
    bed().allowed(&strict("there"), &[]);
}

/// People apply a folder: the watch may not have heard of a definition that was made a moment ago.
#[test]
fn a_definition_that_was_made_a_moment_ago_counts() {
    networks();
    for turn in 0..20 {
        let name = format!("fresh-{turn}");
        bed().put_definition("strict", &name, Some(DEAF));
        let outcome = bed().dry_run(&Method::POST, &pods("strict"), Some(&pod("cart", &[(NETWORKS, &name)])));
        bed().allowed(&outcome, &[]);
        let path = format!("{}/{name}", definitions("strict"));
        let able = json!({"spec": {"config": ABLE}});
        assert!(super::bed::judged(&bed().client, &Method::PATCH, &path, Some(&able), None).allowed());
        let ips = json!([{"name": name, "ips": ["10.1.0.1/24"]}]).to_string();
        let outcome = bed().dry_run(&Method::POST, &pods("strict"), Some(&pod("cart", &[(NETWORKS, &ips)])));
        bed().allowed(&outcome, &[]);
    }
}

#[test]
fn what_only_the_node_can_see_passes() {
    networks();
    allowed(r#"[{"name": "on-disk", "ips": ["10.1.0.7/24"]}]"#);
    let mut object = definition("vf", Some(PLAIN));
    object["metadata"]["annotations"] = json!({"k8s.v1.cni.cncf.io/resourceName": "vendor.example/vf"});
    bed().put("shop", &object);
    allowed("vf,vf");
    refused(r#"[{"name": "vf", "deviceID": "x"}, {"name": "vf", "deviceID": "x"}]"#, &["`x`", "twice"]);
}

#[test]
fn a_pod_of_a_template_has_no_name_and_is_judged_all_the_same() {
    let template = |network: &str| {
        let mut object = pod("", &[(NETWORKS, network)]);
        object["metadata"].as_object_mut().unwrap().remove("name");
        object["metadata"]["generateName"] = json!("cart-6d4cf56db6-");
        create(&object)
    };
    bed().refused(&template("plain@eth0"), &["`eth0`", "pod shop/cart-6d4cf56db6"]);
    bed().allowed(&template("plain"), &[]);
}

#[test]
fn a_pod_on_the_nodes_own_network_is_told_that_its_annotation_does_nothing() {
    let mut object = pod("cart", &[(NETWORKS, ",,")]);
    bed().refused(&create(&object), &["annotation"]);
    object["spec"]["hostNetwork"] = json!(true);
    bed().allowed(&create(&object), &["hostNetwork"]);
}

#[test]
fn the_default_network_annotation_is_judged_too() {
    networks();
    let with = |network: &str| create(&pod("cart", &[(DEFAULT, network)]));
    bed().refused(
        &with("shop/plain,shop/able"),
        &["annotation `v1.multus-cni.io/default-network`", "2 networks"],
    );
    bed().refused(
        &with(r#"[{"name": "deaf", "namespace": "shop", "mac": "02:00:00:00:00:01"}]"#),
        &["`shop/deaf`", "`mac` on its default network", "`defaultNetworkRequests`"],
    );
    bed().allowed(&with("shop/plain"), &[]);
}

// Proves: S-22, S-23
#[test]
fn what_only_the_runtime_or_the_author_decides_is_refused_in_the_annotation() {
    networks();
    let ports = json!([{"hostPort": 22, "containerPort": 80}]);
    let default =
        |element: Value| create(&pod("cart", &[(DEFAULT, &Value::from(vec![element]).to_string())]));
    bed().refused(
        &default(json!({"name": "able", "namespace": "shop", "portMappings": ports})),
        &["`shop/able`", "`portMappings` on its default network", "`hostPort`"],
    );
    bed().refused(
        &default(json!({"name": "able", "namespace": "shop", "ips": ["10.1.0.7/24"]})),
        &["`ips` on its default network"],
    );
    bed().allowed(&default(json!({"name": "able", "namespace": "shop"})), &[]);
    let tuned = r#"{"cniVersion": "1.0.0", "plugins": [{"type": "dummy", "ipam": {"type": "static"}}, {"type": "tuning"}]}"#;
    bed().put_definition("shop", "tuned", Some(tuned));
    refused(r#"[{"name": "tuned", "cni-args": {"mtu": 9000}}]"#, &["`mtu` in `cni-args`", "plugin `tuning`"]);
    allowed(r#"[{"name": "tuned", "cni-args": {"theirs": 9000}}]"#);
    let ranged = r#"{"cniVersion": "1.0.0", "type": "dummy", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}"#;
    bed().put_definition("shop", "ranged", Some(ranged));
    refused(r#"[{"name": "ranged", "ips": ["10.1.0.1/24"]}]"#, &["`10.1.0.1` is the subnet's gateway"]);
    refused(r#"[{"name": "ranged", "ips": ["10.2.0.9/24"]}]"#, &["in none of the ranges"]);
    allowed(r#"[{"name": "ranged", "ips": ["10.1.0.9/24"]}]"#);
}

/// What runs, runs.
#[test]
fn a_pod_that_is_there_can_be_changed_and_deleted() {
    networks();
    let made = super::bed::judged(
        &bed().client,
        &Method::POST,
        &pods("shop"),
        Some(&pod("stays", &[(NETWORKS, "plain")])),
        None,
    );
    // Let in unjudged for want of time, it was asked for again, and is there already.
    assert!(made.allowed() || made.status == 409, "{made:?}");
    let path = format!("{}/stays", pods("shop"));
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    assert!(request(&bed().client, &Method::PATCH, &path, Some(&label), None).allowed());
    assert!(request(&bed().client, &Method::DELETE, &path, None, None).allowed());
}

// Proves: F-INP-2
#[test]
fn hostile_names_are_refused_and_shown_harmless() {
    for name in ["../../etc", "a%2fb", "a\u{202e}b", "a\r\nb", "\u{430}", &"x".repeat(300)] {
        for text in [name.to_owned(), json!([{"name": name}]).to_string()] {
            let outcome = asking(&text);
            bed().refused(&outcome, &["annotation"]);
            let shown = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!outcome.message.contains(shown), "{outcome:?}");
        }
    }
}
