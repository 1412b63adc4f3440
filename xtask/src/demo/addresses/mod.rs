//! `cargo xtask demo addresses`: two nodes on one wire. With `host-local` both give the same addresses; with `cluster-local` each
//! address is given once, and those of a node that is taken away come back.
//!
//! etcd, API server, controller and plugin are the real ones, with the rights and policies that the chart installs.

mod node;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use manifold_e2e::api_server::ApiServer;
use manifold_e2e::cluster_binary::cluster_binary;
use manifold_e2e::controller::{self, Controllers};
use serde_json::{Value, json};

use super::place::Place;
use crate::progress::{self, Detail};
use crate::table::Table;
use crate::{build, packages};
use node::WiredNode;

const NODES: [&str; 2] = ["node-1", "node-2"];
const PODS_PER_NODE: usize = 4;
/// From .200 to .216.
const ADDRESSES: u64 = 17;
const NAMESPACE: &str = "default";
const POOL: &str = "wire";
const POOLS: &str = "/apis/ipam.manifold.network/v1alpha1/addresspools";
const DEFINITIONS: &str = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions";
/// The least that a pool may say.
const RECLAIM_AFTER_SECONDS: u32 = 60;
/// What a reclaim takes, with the rounds of the controller around it, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(place: &Place) -> anyhow::Result<bool> {
    let begin = Instant::now();
    progress::heading("Manifold: addresses that are unique in the cluster\n");
    progress::heading("Preparing");
    packages::for_demo()?;
    let pair = executables()?;
    let control_plane = |detail: &Detail| cluster_binary(&mut |step| detail.say(step)).map(drop);
    progress::watched("control plane (cached; some minutes the first time)", control_plane)?;
    if place.clear().anything() {
        progress::line("  removed what an earlier run had left");
    }
    let api = progress::step("starting etcd and the API server", ApiServer::start)?;
    let options = controller::Options {
        webhook: false,
        executable: Some(pair.controller),
        ..controller::Options::default()
    };
    let _controllers = progress::step("starting the controller", || Controllers::start(&api, &options))?;
    let told = show(&api, place, &pair.shim);
    place.clear();
    progress::line(&format!("\nTook {}", progress::seconds(begin.elapsed())));
    told
}

/// Those that the environment names, else the build `fast`.
fn executables() -> anyhow::Result<build::Pair> {
    if let (Some(shim), Some(controller)) = (build::given()?, build::given_controller()?) {
        progress::line(&format!("  using the executables {} and {}", shim.display(), controller.display()));
        return Ok(build::Pair { shim, controller });
    }
    progress::watched("building both executables (static; some minutes the first time)", build::fast)
}

/// Whether everything was as it should be.
fn show(api: &ApiServer, place: &Place, shim: &Path) -> anyhow::Result<bool> {
    api.ensure_namespace(NAMESPACE)?;
    let mut nodes = progress::step("making two nodes with one wire between their cards eth1", || {
        wired(api, place, shim)
    })?;
    let range =
        json!({"subnet": "192.168.1.0/24", "rangeStart": "192.168.1.200", "rangeEnd": "192.168.1.216"});
    define(api, "before", &json!({"type": "host-local", "ranges": [[range]]}))?;
    let twice = tell_network(api, &mut nodes, "before", "`host-local`: each node counts for itself")?;

    let pool = json!({
        "apiVersion": "ipam.manifold.network/v1alpha1", "kind": "AddressPool", "metadata": {"name": POOL},
        "spec": {"subnet": "192.168.1.0/24", "ranges": [{"start": "192.168.1.200", "end": "192.168.1.216"}],
            "reclaimAfterSeconds": RECLAIM_AFTER_SECONDS},
    });
    api.client().send("POST", POOLS, &pool)?;
    define(api, "after", &json!({"type": "cluster-local", "pools": [POOL]}))?;
    let still_twice =
        tell_network(api, &mut nodes, "after", "`cluster-local`: each address once in the cluster")?;
    let all = (NODES.len() * PODS_PER_NODE) as u64;
    wait_for_counts(api, all, ADDRESSES - all)?;
    tell_pools(api)?;

    progress::heading("\nnode-2 is taken away");
    let lost = nodes.pop().context("there are two nodes")?;
    lost.take_away()?;
    wait_for_counts(api, all / 2, ADDRESSES - all)?;
    progress::line(&format!(
        "  Its addresses stay reserved for {RECLAIM_AFTER_SECONDS} s, as it may come back."
    ));
    tell_pools(api)?;
    progress::watched("waiting for its addresses", |_| wait_for_counts(api, all / 2, ADDRESSES - all / 2))?;
    tell_pools(api)?;
    nodes.iter_mut().try_for_each(|node| node.stop_all())?;
    Ok(twice > 0 && still_twice == 0)
}

fn wired<'a>(api: &'a ApiServer, place: &Place, shim: &'a Path) -> anyhow::Result<Vec<WiredNode<'a>>> {
    let nodes: Vec<WiredNode<'_>> =
        NODES.iter().map(|name| WiredNode::new(api, place, shim, name)).collect::<anyhow::Result<_>>()?;
    if let [one, two] = &nodes[..] {
        one.wire_to(two)?;
    }
    Ok(nodes)
}

fn define(api: &ApiServer, name: &str, ipam: &Value) -> anyhow::Result<()> {
    let config =
        json!({"cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "eth1", "ipam": ipam});
    progress::line(&format!(
        "\n  NetworkAttachmentDefinition `{name}`, macvlan on eth1, with \"ipam\": {ipam}"
    ));
    let object = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": name},
        "spec": {"config": config.to_string()},
    });
    api.client().send("POST", DEFINITIONS, &object).map(drop)
}

/// Starts pods with this network on both nodes, and shows who has which address. How many addresses were given twice.
fn tell_network(
    api: &ApiServer,
    nodes: &mut [WiredNode<'_>],
    network: &str,
    title: &str,
) -> anyhow::Result<usize> {
    progress::heading(&format!("\n{title}"));
    nodes.iter_mut().try_for_each(WiredNode::stop_all)?;
    let mut by_address: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes.iter_mut() {
        for number in 0..PODS_PER_NODE {
            let pod = format!("{network}-{}-{number}", node.name());
            let address = node.start(&pod, network).with_context(|| format!("ADD of pod `{pod}`"))?;
            by_address.entry(address).or_default().push(pod);
        }
    }
    let mut table = Table::new(&["Address", "Pods", ""]);
    for (address, pods) in &by_address {
        let mark = match pods.len() {
            1 => String::new(),
            count => progress::verdict(false, &format!("given {count} times")),
        };
        table.row(vec![vec![address.clone()], vec![pods.join(", ")], vec![mark]]);
    }
    table.print();
    ensure!(!by_address.is_empty(), "no pod was started at `{}`", api.port());
    Ok(by_address.values().filter(|pods| pods.len() > 1).count())
}

/// Returns when the pool counts so many addresses as in use and as free.
fn wait_for_counts(api: &ApiServer, used: u64, free: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pool = api.client().get(&format!("{POOLS}/{POOL}"))?.json()?;
        let status = pool.get("status").cloned().unwrap_or_default();
        let count = |key: &str| status.get(key).and_then(Value::as_u64);
        if (count("used"), count("free")) == (Some(used), Some(free)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the pool never counted {used} addresses in use and {free} free; its status is {status}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn tell_pools(api: &ApiServer) -> anyhow::Result<()> {
    progress::line("\n  $ kubectl get addresspools");
    let output = api.kubectl(&["get", "addresspools"], "")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().for_each(|line| progress::line(&format!("  {line}")));
    Ok(())
}
