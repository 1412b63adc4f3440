//! Values that are refused: each with the sentence that mends it.

use manifold_e2e::helm::Generation;

use super::helm;

/// The words of Helm, by both generations.
#[track_caller]
fn refused(values: &[&str], parts: &[&str]) {
    for generation in [Generation::Three, Generation::Four] {
        match helm(generation).template("nets", values, &[]).unwrap() {
            Ok(_) => panic!("{values:?} is rendered by {generation:?}"),
            Err(said) => {
                parts.iter().for_each(|part| assert!(said.contains(part), "{values:?}: {said}"));
            }
        }
    }
}

#[test]
fn values_that_clash_are_refused_with_the_remedy() {
    refused(&["defaultNetwork.configuration=\"cbr0\""], &["only for `source: existing`", "or remove"]);
    refused(
        &["defaultNetwork.source=\"unmanaged\"", "defaultNetwork.builtIn.clusterCidrs=[\"10.0.0.0/8\"]"],
        &["only for `source: builtIn`", "the source is `unmanaged`", "or empty the list"],
    );
    refused(&["node.hostNetwork=false"], &["`node.hostNetwork` is false", "set `node.hostNetwork=true`"]);
    refused(
        &["defaultNetwork.source=\"unmanaged\"", "node.hostNetwork=false"],
        &["`node.podAnnotations` is not true", "set `node.hostNetwork=true`"],
    );
    refused(&["networks.defaultNetworks=[\"cluster-wide-network\"]"], &["already has", "remove it"]);
    refused(&["networks.defaultNetworks=[\"nets/cluster-wide-network\"]"], &["already has", "remove it"]);
    refused(
        &["networks.defaultNetworks=[\"shop/audit\"]"],
        &["names `shop/audit`", "a definition of `nets` without the namespace"],
    );
    refused(
        &["node.apiServer.tlsServerName=\"api\""],
        &["`node.apiServer.address` is empty", "set the address"],
    );
    refused(&["node.limits.delegateSeconds=91"], &["is 91, more than the 90", "lower it"]);
    refused(
        &["node.confDir=\"/opt/cni/bin/net.d\""],
        &["`node.confDir`", "is inside `node.binDir`", "separate folders"],
    );
    refused(&["node.stateDir=\"/opt/cni/bin\""], &["is inside", "separate folders"]);
    refused(&["node.stateDir=\"/var/manifold\""], &["belongs to the whole host", "/var/lib/cni/manifold"]);
    refused(
        &["admission.clientNames=[\"a\"]"],
        &["`admission.clientAuthority` is empty", "set the ConfigMap"],
    );
    refused(
        &["networkPolicy.enabled=false", "networkPolicy.egress=true"],
        &["`networkPolicy.enabled` is false", "or `networkPolicy.egress=false`"],
    );
    refused(&["uninstall.hook=false", "uninstall.leave=true"], &["`uninstall.leave` is for the hook"]);
    refused(
        &["networks.namespaceIsolation=false", "networks.globalNamespaces=[\"shop\"]"],
        &["makes every namespace global", "set `namespaceIsolation=true`"],
    );
}

// Shows part of: P-UP-10
#[test]
fn a_misspelled_value_is_refused_in_every_part() {
    for value in [
        "nodes={}",
        "image.registri=\"x\"",
        "image.node.repo=\"x\"",
        "namespace.make=true",
        "defaultNetwork.kind=\"x\"",
        "defaultNetwork.builtIn.bridgeName=\"x\"",
        "networks.isolation=true",
        "admission.missing=\"warn\"",
        "cluster.replica=1",
        "cluster.disruptionBudget.minAvailable=1",
        "node.statusPrt=1",
        "node.log.levle=\"debug\"",
        "node.limits.addMinutes=1",
        "node.apiServer.url=\"x\"",
        "dhcp.enable=true",
        "uninstall.wait=1",
        "flowSchema.priority=1",
        "podMonitor.every=\"30s\"",
        "networkPolicy.ports=[]",
        "node.resources.limit={}",
    ] {
        let name = value.split(['.', '=']).take(value.matches('.').count() + 1).last().unwrap();
        refused(&[value], &["not allowed", name]);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_by_name() {
    for (value, name) in [
        ("image.node.digest=\"sha256:abc\"", "digest"),
        ("image.registry=\"https://example.org\"", "registry"),
        ("image.pullPolicy=\"Sometimes\"", "pullPolicy"),
        ("defaultNetwork.source=\"calico\"", "source"),
        ("defaultNetwork.name=\"Cluster_Wide\"", "name"),
        ("defaultNetwork.builtIn.bridge=\"a-bridge-too-long\"", "bridge"),
        ("defaultNetwork.builtIn.mtu=1000", "mtu"),
        ("defaultNetwork.builtIn.clusterCidrs=[\"10.0.0.0\"]", "clusterCidrs"),
        ("networks.networksPerPod=0", "networksPerPod"),
        ("networks.globalNamespaces=[\"a b\"]", "globalNamespaces"),
        ("networks.allowedDefaultNetworks=[\"a/b/c\"]", "allowedDefaultNetworks"),
        ("networks.defaultNetworkRequests=[\"bandwidth\"]", "defaultNetworkRequests"),
        ("admission.missingNetwork=\"deny\"", "missingNetwork"),
        ("cluster.replicas=0", "replicas"),
        ("node.cniVersion=\"0.4.0\"", "cniVersion"),
        ("node.binDir=\"opt/cni/bin\"", "binDir"),
        ("node.confDir=\"/\"", "confDir"),
        ("node.tokenSeconds=86401", "tokenSeconds"),
        ("node.apiServer.address=\"http://10.0.0.1\"", "address"),
        ("node.log.level=\"trace\"", "level"),
        ("node.maxUnavailable=\"ten\"", "maxUnavailable"),
        ("node.extraCapabilities=[\"cap_net_raw\"]", "extraCapabilities"),
        ("node.resources.limits.memory=\"much\"", "memory"),
        ("podMonitor.interval=\"often\"", "interval"),
        ("networkPolicy.apiServerPorts=[0]", "apiServerPorts"),
        ("admission.clientAuthority=\"Clients\"", "clientAuthority"),
    ] {
        refused(&[value], &[name]);
    }
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    let rendered = helm(Generation::Four).template("nets", &[], &["--kube-version", "1.32.0"]).unwrap();
    assert!(rendered.unwrap_err().contains(">=1.33.0-0"));
    assert!(helm(Generation::Four).template("nets", &[], &["--kube-version", "1.33.0"]).unwrap().is_ok());
}
