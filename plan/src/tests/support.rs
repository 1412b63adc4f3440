use super::*;

/// A policy with the NAD `cluster-wide-network` as the default network.
pub(crate) fn policy() -> Policy {
    Policy::new(DefaultNetwork::Cluster("cluster-wide-network".parse().unwrap()))
}

/// A pod of namespace `shop` that asks for these networks.
pub(crate) fn pod(networks: &str) -> Pod {
    Pod::new("shop", "cart-7", Some("u-1")).unwrap().with_annotations(Some(networks), None)
}

pub(crate) fn wanted(networks: &str) -> Wanted {
    want(&pod(networks), &policy()).unwrap()
}
