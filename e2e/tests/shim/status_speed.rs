//! STATUS answers at once, whatever is wrong: a runtime asks every few seconds, also while the node boots.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::networks::With;
use crate::node::{Node, manifold};

const WITHIN: Duration = Duration::from_millis(50);
/// The best one counts: what the machine does beside it is not measured. On a busy one it is looked for this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Every call of the kernel that waits for time to pass, or for others.
const WAITS: &str = "nanosleep,clock_nanosleep,poll,ppoll,select,pselect6,epoll_wait,epoll_pwait,epoll_pwait2,pause,\
                     rt_sigtimedwait,connect";

/// How a node may look while it boots, and what STATUS says of it.
fn nodes(node: &Node<'_>) -> Vec<(&'static str, Map<String, Value>, Option<u64>)> {
    let bridge = node.default_network().with("name", json!("plain"));
    let default = |value: Value| {
        let mut entry = node.entry.clone();
        entry.remove("clusterNetwork");
        entry.insert("delegates".into(), json!([value]));
        entry
    };
    // Without an API server that could know it.
    let named = |name: &str| {
        let mut entry = node.entry.clone();
        entry.insert("clusterNetwork".into(), name.into());
        entry.remove("kubeconfig");
        entry
    };
    let file = node.folder("conf/10-broken.conflist");
    fs::write(&file, "{torn").unwrap();
    let ours = json!({"cniVersion": "1.1.0", "name": "self", "plugins": [{"type": "manifold"}]});
    fs::write(node.folder("conf/00-self.conflist"), ours.to_string()).unwrap();
    let mut not_yet = default(bridge.clone());
    not_yet.insert("readinessindicatorfile".into(), json!(node.folder("not-yet")));
    let fails = json!({"STATUS": {"behave": "fail", "code": 51, "msg": "no uplink"}});
    vec![
        ("good", default(bridge), None),
        ("absent", named("nowhere"), Some(50)),
        ("broken", named(file.to_str().unwrap()), Some(50)),
        ("ours", named("self"), Some(50)),
        (
            "without its plugin",
            default(json!({"cniVersion": "1.1.0", "name": "c", "type": "absent"})),
            Some(50),
        ),
        ("not ready", not_yet, Some(50)),
        ("limited", default(node.fake(&fails).with("name", json!("c"))), Some(51)),
    ]
}

// Proves: F-NOD-5, P-UP-9
#[test]
fn status_answers_within_fifty_milliseconds_and_waits_for_nothing() {
    let mut node = Node::new("prompt");
    node.cut_off();
    node.install_fakes(&["fake"]);
    let log = node.folder("waits");
    let traced = node.script(&format!(
        "exec strace -f -qq -A -e trace={WAITS} -e signal=none -o {} {}",
        log.display(),
        manifold().display()
    ));
    for (what, entry, expected) in nodes(&node) {
        let status = |runtime: &manifold_e2e::runtime::Runtime<'_>| {
            let outcome = runtime.call("STATUS", None, entry.clone().into()).unwrap();
            match expected {
                None => drop(outcome.must_succeed()),
                Some(code) => drop(outcome.must_fail_with(code)),
            }
            outcome.wall
        };
        let runtime = node.runtime();
        let begin = Instant::now();
        while status(&runtime) >= WITHIN {
            assert!(begin.elapsed() < PATIENCE, "{what}: never within {WITHIN:?}");
        }
        // A plugin that is executed has to be waited for.
        if expected == Some(51) {
            continue;
        }
        fs::write(&log, "").unwrap();
        status(&node.runtime_of(&traced));
        let calls = fs::read_to_string(&log).unwrap();
        // With a time of 0 it only asks; so every start of a program does for its first three files.
        let waits: Vec<_> =
            calls.lines().filter(|l| !(l.contains(" poll(") && l.contains(", 0) = "))).collect();
        assert_eq!(waits, Vec::<&str>::new(), "{what}");
        assert!(!calls.is_empty(), "{what}: the trace sees what a start of a program does");
    }
}
