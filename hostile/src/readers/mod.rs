//! All readers, by what they read.

mod call;
mod definition;
mod dhcp;
mod files_of_addresses;
mod ipam;
mod ledger;
mod merge;
mod pod;
mod result;
#[cfg(feature = "admission")]
mod review;
mod selection;
mod status;
mod values;

use manifold_crds::{NadRef, Namespace};
use manifold_plan::{DefaultNetwork, Policy};

use crate::Reader;

macro_rules! readers {
    ($($(#[$condition:meta])* $name:ident: $read:path,)*) => {
        [$($(#[$condition])* Reader { name: stringify!($name), read: $read },)*]
    };
}

#[cfg(feature = "admission")]
const COUNT: usize = 25;
#[cfg(not(feature = "admission"))]
const COUNT: usize = 23;

/// All of them.
pub const ALL: [Reader; COUNT] = readers! {
    annotation_short: selection::networks,
    annotation_json: selection::networks,
    default_network: selection::default_network,
    definition: definition::object,
    network_config: definition::config,
    cni_args: call::cni_args,
    stdin: call::stdin,
    environment: call::environment,
    delegate_result: result::result,
    prev_result: result::prev_result,
    network_status: status::network_status,
    device_info: status::device_info,
    config_merge: merge::merge,
    pod_plan: pod::plan,
    network_values: values::all,
    ledger_entry: ledger::entry,
    outcome_line: ledger::outcome,
    dhcp_packet: dhcp::packet,
    dhcp_request: dhcp::request,
    holdings: files_of_addresses::holdings,
    lease: files_of_addresses::lease,
    intent: files_of_addresses::intent,
    address_object: ipam::object,
    #[cfg(feature = "admission")]
    review_definition: review::definition,
    #[cfg(feature = "admission")]
    review_pod: review::pod,
};

/// The namespace of the pod that all readers speak of.
fn home() -> Namespace {
    parsed("shop")
}

fn reference(name: &str) -> NadRef {
    NadRef { namespace: home(), name: parsed(name) }
}

/// The defaults of a node.
fn policy() -> Policy {
    Policy::new(DefaultNetwork::Cluster(parsed("cluster-wide-network")))
}

/// A constant of these readers.
fn parsed<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a constant that is valid")
}

/// What an annotation or a field of an object can hold: Kubernetes lets only Unicode in.
fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}
