//! Addresses that a pod asks for by name, held against the bundled IPAM plugin that would give them: a gateway's own address
//! and one outside all ranges are refused before anything is touched (S-23), in the words that the plugin itself would use.

use manifold_cni::derive::Derived;
use manifold_cni::json::is_key;
use manifold_cni::{CniArgs, NetworkList, PluginConf, RawObject};
use manifold_crds::Selection;
use manifold_plugin_conf::{ClusterLocalConf, HostLocalConf, cluster_local, static_ipam};

use crate::capability::{self, Values};
use crate::check_config::ipam_type;
use crate::{Refusal, args};

/// Ranges that the runtime brings.
const IP_RANGES: &str = "ipRanges";

/// `list` with the pod's `cni-args` in it, `values` as the plugins will get them; `guarded` where requests do not stand in
/// CNI_ARGS.
///
/// # Errors
/// If an address cannot be given.
pub(crate) fn check(
    selection: Option<&Selection>,
    guarded: bool,
    list: &NetworkList,
    values: &Values,
) -> Result<(), Refusal> {
    let Some(selection) = selection.filter(|selection| asks(selection)) else { return Ok(()) };
    let by_args = Some(selection).filter(|_| !guarded);
    let args = args::with_requests(&CniArgs::default(), by_args);
    list.plugins.iter().try_for_each(|plugin| check_plugin(plugin, list, values, &args))
}

fn asks(selection: &Selection) -> bool {
    let in_args = |args: &RawObject| args.keys().any(|key| is_key(key, "ips"));
    !selection.ips.is_empty() || selection.cni_args.as_ref().is_some_and(in_args)
}

fn check_plugin(
    plugin: &PluginConf,
    list: &NetworkList,
    values: &Values,
    args: &CniArgs,
) -> Result<(), Refusal> {
    let Some(ipam) = ipam_type(plugin) else { return Ok(()) };
    let Some(config) = as_called(plugin, list, values) else { return Ok(()) };
    let told = |why: String| Err(refusal(&ipam, &why));
    match ipam.as_str() {
        // Ranges that come with the ADD are the plugin's own to look at.
        "host-local" if capability::declared(list, IP_RANGES) => Ok(()),
        "host-local" => match HostLocalConf::read(&config, args, list.version()) {
            Ok(conf) => conf.wishes().map(drop).or_else(told),
            // What is wrong with the configuration itself is told elsewhere.
            Err(_) => Ok(()),
        },
        cluster_local::TYPE if capability::declared(list, IP_RANGES) => Ok(()),
        cluster_local::TYPE => match ClusterLocalConf::read(&config, args, list.version()) {
            Ok(conf) => conf.check_requested().or_else(told),
            Err(_) => Ok(()),
        },
        "static" => static_ipam::refuse_gateways(&config, args).or_else(|problem| told(problem.sentence)),
        _ => Ok(()),
    }
}

/// The configuration that the plugin gets for its ADD.
fn as_called(plugin: &PluginConf, list: &NetworkList, values: &Values) -> Option<RawObject> {
    let derived = Derived {
        name: list.name.as_ref()?,
        version: list.version(),
        runtime: Some(values),
        prev_result: None,
        valid_attachments: None,
    };
    RawObject::parse(&derived.bytes(plugin)).ok()
}

fn refusal(ipam: &str, why: &str) -> Refusal {
    let (what, fix) = why.rsplit_once("; ").unwrap_or((why, "ask for another address"));
    Refusal::new(format!("IPAM `{ipam}`: {what}"), fix)
}
