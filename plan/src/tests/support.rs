//! A small cluster to plan in: pod `shop/cart-7`, the default network `cluster-wide-network`, definitions by name.

use std::collections::BTreeMap;

use manifold_cni::CniArgs;
use manifold_crds::{Nad, NadRef};
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::default_network::Request;
use crate::{
    Definitions, Plan, Planned, Pod, Policy, Refusal, RuntimeInput, Wanted, plan, policy::DefaultNetwork,
    want,
};

/// A cluster, a node and a pod to plan for.
#[derive(Clone, Debug)]
pub(crate) struct Bed {
    pub(crate) pod: Pod,
    pub(crate) policy: Policy,
    pub(crate) found: Definitions,
    pub(crate) runtime: RuntimeInput,
}

pub(crate) fn policy() -> Policy {
    Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse().unwrap()))
}

pub(crate) fn wanted(networks: &str) -> Wanted {
    want(&Bed::asking(networks).pod, &policy()).unwrap()
}

/// A plugin that is nobody's: no rule but the plan's own looks at it.
pub(crate) const PLAIN: &str = r#"{"cniVersion":"1.0.0","type":"fake"}"#;

impl Bed {
    /// A pod of namespace `shop` that asks for `networks`; `shop/a`, `shop/b`, `shop/c` and the default network exist.
    pub(crate) fn asking(networks: &str) -> Self {
        let pod = Pod::new("shop", "cart-7", Some("u-1")).unwrap().with_annotations(Some(networks), None);
        let runtime = RuntimeInput {
            version: manifold_cni::Version::V1_1_0,
            container: "c1".parse().unwrap(),
            ifname: "eth0".parse().unwrap(),
            args: CniArgs::parse("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7"),
            runtime_config: BTreeMap::new(),
            allocation: None,
        };
        let mut bed = Self { pod, policy: policy(), found: Definitions::default(), runtime };
        bed = bed.nad("kube-system", "cluster-wide-network", PLAIN);
        for name in ["a", "b", "c"] {
            bed = bed.nad("shop", name, PLAIN);
        }
        bed
    }

    pub(crate) fn nad(mut self, namespace: &str, name: &str, config: &str) -> Self {
        let reference = NadRef::new(namespace, name).unwrap();
        self.found.nads.insert(reference.clone(), Nad::new(reference, Some(config)));
        self
    }

    pub(crate) fn nad_mut(&mut self, name: &str) -> &mut Nad {
        self.found.nads.get_mut(&NadRef::new("shop", name).unwrap()).unwrap()
    }

    pub(crate) fn default_annotation(mut self, text: &str) -> Self {
        self.pod.default_network = Some(text.to_owned());
        self
    }

    /// The administrator opens `kube-system/name` as a default network, and lets pods ask this of it.
    pub(crate) fn left_to_pods(mut self, name: &str, requests: &[&str]) -> Self {
        let left = &mut self.policy.left_to_pods;
        left.definitions.insert(NadRef::new("kube-system", name).unwrap());
        left.requests.extend(requests.iter().map(|request| request.parse::<Request>().unwrap()));
        self
    }

    pub(crate) fn runtime_value(mut self, capability: &str, value: &Value) -> Self {
        self.runtime.runtime_config.insert(capability.to_owned(), to_raw_value(value).unwrap());
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn result(&self) -> Result<Plan, Refusal> {
        plan(&self.pod, &self.policy, &self.found, &self.runtime)
    }

    #[track_caller]
    pub(crate) fn plan(&self) -> Plan {
        self.result().unwrap_or_else(|e| panic!("{e}"))
    }

    /// The attachment of that place.
    #[track_caller]
    pub(crate) fn at(&self, place: usize) -> Planned {
        self.plan().attachments.swap_remove(place)
    }

    /// Refused with code 7, with these words in the sentence, a place and a way to mend it.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) {
        let refusal = match self.result() {
            Ok(plan) => panic!("should be refused, and gave {plan:?}"),
            Err(refusal) => refusal,
        };
        assert_eq!(refusal.code, 7, "{refusal}");
        assert!(refusal.place.contains("shop/cart-7"), "no pod in the place: {refusal:?}");
        assert!(!refusal.fix.is_empty(), "no fix: {refusal}");
        for word in words {
            assert!(refusal.what.contains(word), "`{word}` is missing in: {}", refusal.what);
        }
        let hostile = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!refusal.to_string().contains(hostile), "{refusal:?}");
    }
}

/// The plugins of an attachment as JSON.
pub(crate) fn plugins(planned: &Planned) -> Vec<Value> {
    planned.list.plugins.iter().map(|p| serde_json::to_value(&p.raw).unwrap()).collect()
}

/// The runtime values of an attachment as JSON.
pub(crate) fn values(planned: &Planned) -> Value {
    serde_json::to_value(&planned.runtime_values).unwrap()
}
