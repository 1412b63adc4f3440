//! Who may use whose networks: one answer for every way to ask, and no word about whether the name exists.

use http::Method;

use super::bed::{Outcome, bed, pod, pods};

const PLAIN: &str = r#"{"cniVersion": "1.0.0", "type": "fake"}"#;
const HOMES: [&str; 4] = ["matrix", "default", "manifold-system", "other"];

#[derive(Clone, Copy, Debug)]
enum Way {
    Networks,
    NetworksAsJson,
    DefaultNetwork,
}

fn ask(way: Way, home: &str, name: &str) -> Outcome {
    let (key, value) = match way {
        Way::Networks => ("k8s.v1.cni.cncf.io/networks", format!("{home}/{name}")),
        Way::NetworksAsJson => {
            ("k8s.v1.cni.cncf.io/networks", format!(r#"[{{"namespace": "{home}", "name": "{name}"}}]"#))
        }
        Way::DefaultNetwork => ("v1.multus-cni.io/default-network", format!("{home}/{name}")),
    };
    bed().dry_run(&Method::POST, &pods("matrix"), Some(&pod("cart", &[(key, &value)])))
}

#[track_caller]
fn check(way: Way, home: &str, may: bool) {
    let (there, missing) = (ask(way, home, "matrix-there"), ask(way, home, "matrix-gone0"));
    if may {
        bed().allowed(&there, &[]);
        bed().allowed(&missing, &["no such"]);
        return;
    }
    let name = format!("network `{home}/matrix-there`");
    bed().refused(&there, &[&name, "pods of namespace `matrix` may not use", "globalNamespaces"]);
    // The same to the letter, and no warning that would tell.
    assert_eq!(there.message.replace("matrix-there", "matrix-gone0"), missing.message);
    assert!(there.warnings.is_empty() && missing.warnings.is_empty(), "{there:?} {missing:?}");
}

// Proves: S-15, P-SEC-1
#[test]
fn a_refusal_does_not_tell_whether_the_network_exists() {
    use Way::{DefaultNetwork, Networks, NetworksAsJson};
    bed().api.ensure_namespace("matrix").unwrap();
    for home in HOMES {
        bed().api.ensure_namespace(home).unwrap();
        bed().put_definition(home, "matrix-there", Some(PLAIN));
    }
    for way in [Networks, NetworksAsJson, DefaultNetwork] {
        check(way, "matrix", true);
        check(way, "default", true);
        check(way, "other", false);
        // A bare name in the default-network annotation means this namespace; that opens it to nobody.
        check(way, "manifold-system", false);
    }
}
