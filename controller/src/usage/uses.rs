//! Which definitions a pod uses: decided by the words that the nodes plan with, so both mean the same networks.

use manifold_crds::NadRef;
use manifold_plan::{Pod, Policy, Role, Wanted};

use crate::usage::pod::PodFacts;

/// What one pod stands for in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uses {
    /// Each definition once.
    pub(super) networks: Vec<NadRef>,
    /// Whether it asks for anything that pods do not get anyway.
    pub(super) asked: bool,
}

/// A selection that the nodes would refuse counts for nothing: such a pod does not start. It keeps the networks of every
/// pod, for it may be mended by deleting the annotation before it is bound.
pub(super) fn uses(facts: &PodFacts, policy: &Policy) -> Uses {
    // A pod that started before `strict` was switched on still has its networks.
    let policy = &Policy { strict: false, ..policy.clone() };
    let mut pod = Pod {
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        uid: None,
        networks: facts.networks.clone(),
        default_network: facts.default_network.clone(),
    };
    if let Ok(wanted) = manifold_plan::want(&pod, policy) {
        return Uses { asked: has_asked(&wanted), networks: wanted.references() };
    }
    (pod.networks, pod.default_network) = (None, None);
    let networks = manifold_plan::want(&pod, policy).map(|wanted| wanted.references());
    Uses { networks: networks.unwrap_or_default(), asked: true }
}

fn has_asked(wanted: &Wanted) -> bool {
    wanted.attachments.iter().any(|want| want.role == Role::Selected || want.selection.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::usage::pod::Uid;

    #[track_caller]
    fn check(config: &str, namespace: &str, asked: [Option<&str>; 2], networks: &[&str], has_asked: bool) {
        let policy = Config::parse(config).unwrap().policy().unwrap();
        let facts = PodFacts {
            uid: Uid::new(1),
            namespace: namespace.parse().unwrap(),
            name: "cart-7".parse().unwrap(),
            version: 1,
            networks: asked[0].map(str::to_owned),
            default_network: asked[1].map(str::to_owned),
            has_status: false,
            is_terminating: false,
        };
        let uses = uses(&facts, &policy);
        let found: Vec<String> = uses.networks.iter().map(ToString::to_string).collect();
        assert_eq!(found, networks);
        assert_eq!(uses.asked, has_asked);
    }

    const DEFAULT: &str = "manifold-system/cluster-wide-network";

    #[test]
    fn every_pod_uses_the_default_network() {
        check("{}", "shop", [None, None], &[DEFAULT], false);
        for nothing in ["", " ", "null", "[]", r#""""#] {
            check("{}", "shop", [Some(nothing), Some(nothing)], &[DEFAULT], false);
        }
    }

    #[test]
    fn both_annotations_count_and_a_network_once() {
        check(
            "{}",
            "shop",
            [Some("a, default/b, a@x, shop/a"), None],
            &[DEFAULT, "shop/a", "default/b"],
            true,
        );
        check("{}", "shop", [None, Some("shop/a")], &["shop/a"], true);
        let allowed = "networks: {allowedDefaultNetworks: [own]}";
        check(allowed, "shop", [Some("a"), Some("own")], &["manifold-system/own", "shop/a"], true);
        check("{}", "shop", [Some("a"), Some("own")], &[DEFAULT], true);
    }

    #[test]
    fn networks_of_every_pod_count_outside_the_system_namespaces() {
        let config = "networks: {defaultNetworks: [audit]}";
        check(config, "shop", [None, None], &[DEFAULT, "manifold-system/audit"], false);
        check(config, "kube-system", [None, None], &[DEFAULT], false);
    }

    #[test]
    fn what_lenient_nodes_pass_over_counts_as_they_read_it_also_after_strict_was_switched_on() {
        for odd in ["a@", r#"[{"name": "a", "gateway": ["10.1.1.1"], "mac": ""}]"#] {
            check("{}", "shop", [Some(odd), None], &[DEFAULT, "shop/a"], true);
            check("networks: {strict: true}", "shop", [Some(odd), None], &[DEFAULT, "shop/a"], true);
        }
    }

    #[test]
    fn a_selection_that_the_nodes_refuse_counts_for_the_networks_of_every_pod_only() {
        for refused in ["a@b@c", "other/a", "[{", "a,b@eth0,c@eth0", r#"[{"name": "a", "mac": "x"}]"#] {
            check("{}", "shop", [Some(refused), None], &[DEFAULT], true);
            check("{}", "shop", [None, Some(refused)], &[DEFAULT], true);
        }
        check(
            "networks: {namespaceIsolation: false}",
            "shop",
            [Some("other/a"), None],
            &[DEFAULT, "other/a"],
            true,
        );
    }
}
