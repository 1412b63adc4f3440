//! A whole plan: the first line is the pod's annotation, the rest the configuration of each network that it may name.

use std::collections::{BTreeMap, BTreeSet};

use manifold_cni::{CniArgs, Version};
use manifold_crds::{Nad, NadRef};
use manifold_plan::judge::judge;
use manifold_plan::{Definitions, Plan, Pod, RuntimeInput};

use super::{parsed, policy, reference, text};
use crate::Answer;

pub(super) fn plan(input: &[u8]) -> Answer {
    let text = text(input);
    let (annotation, config) = text.split_once('\n').unwrap_or((&text, ""));
    let pod = Pod::new("shop", "cart-7", Some("u-1"))
        .expect("valid names")
        .with_annotations(Some(annotation), None);
    let (policy, found) = (policy(), definitions(config));
    let planned = manifold_plan::plan(&pod, &policy, &found, &runtime());
    // The webhook knows no devices, so it may let in what the node refuses; it never refuses what the node accepts.
    if let Err(refused) = judge(&pod, &policy, &found) {
        assert!(planned.is_err(), "the webhook refuses what the node accepts: {:?}", refused.refusal);
    }
    match planned {
        Err(refusal) => {
            assert!(!refusal.fix.is_empty() && refusal.place.contains("shop/cart-7"), "{refusal:?}");
            refusal.into()
        }
        Ok(plan) => {
            assert_sound(&plan);
            Answer::Accepted(described(&plan))
        }
    }
}

fn definitions(config: &str) -> Definitions {
    let default = NadRef { namespace: parsed("kube-system"), name: parsed("cluster-wide-network") };
    let mut found = Definitions::default();
    found.nads.insert(default.clone(), Nad::new(default, Some(r#"{"cniVersion":"1.0.0","type":"fake"}"#)));
    for name in ["left", "right"] {
        found.nads.insert(reference(name), Nad::new(reference(name), Some(config)));
    }
    found
}

fn runtime() -> RuntimeInput {
    RuntimeInput {
        version: Version::V1_1_0,
        container: parsed("5c1d2e3f"),
        ifname: parsed("eth0"),
        args: CniArgs::parse("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7"),
        runtime_config: BTreeMap::new(),
        allocation: None,
    }
}

/// The default network first and alone in being it; no interface name twice; plugins in each; within the limits.
fn assert_sound(plan: &Plan) {
    let defaults: Vec<bool> = plan.attachments.iter().map(|planned| planned.default).collect();
    assert!(defaults.iter().enumerate().all(|(n, default)| *default == (n == 0)), "{defaults:?}");
    let names: BTreeSet<&str> = plan.attachments.iter().map(|planned| planned.ifname.as_str()).collect();
    assert_eq!(names.len(), plan.attachments.len(), "{names:?}");
    assert!(plan.attachments.len() <= 33 && plan.status_bytes <= 64 << 10);
    assert!(plan.attachments.iter().all(|planned| !planned.list.plugins.is_empty()));
    for planned in &plan.attachments {
        assert_eq!(planned.list.name.as_ref(), Some(&planned.network));
        let keys: Vec<&str> = planned.args.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "{}", planned.args);
    }
}

fn described(plan: &Plan) -> String {
    let line = |planned: &manifold_plan::Planned| {
        let plugins: Vec<&str> = planned.list.plugins.iter().map(|plugin| plugin.kind.as_str()).collect();
        let values: Vec<String> =
            planned.runtime_values.iter().map(|(key, value)| format!("{key}={}", value.get())).collect();
        format!("{} on {} by {} {}", planned.display, planned.ifname, plugins.join("+"), values.join(" "))
    };
    let odd = plan.odd.iter().map(|odd| format!("odd: {odd}"));
    let notes = plan.notes.iter().map(|note| format!("note: {note}"));
    plan.attachments.iter().map(line).chain(odd).chain(notes).collect::<Vec<_>>().join("\n")
}
