//! calico-ipam under our interface plugins: a small IPAM plugin that answers in its form and keeps addresses as it does,
//! the reference's host-local in the place of a stranger, and calico-ipam itself where somebody gives it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use manifold_cni::{CniError, CniResult, Input};
use manifold_plugins::bundled;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, Pod, runs, same, with, with_result};

/// Addresses under network name and container, without the interface; versions up to 1.0.0; identity from `CNI_ARGS`,
/// of which unknown keys are refused; no CHECK; errors of its own as the library behind it writes them, with code 999.
const LIKE_CALICO: &str = r#"#!/bin/sh
here=$(dirname "$0"); conf=$(cat)
fail() { printf '{"cniVersion":"1.0.0","code":%s,"msg":"%s","details":"%s"}' "$1" "$2" "$3"; exit 1; }
value() { printf '%s' "$conf" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
case $(value cniVersion) in
    0.[1-4].[0-9]|1.0.0) ;;
    *) fail 1 'incompatible CNI versions' 'plugin supports up to 1.0.0';;
esac
pod=''; namespace=''; ip=''; unknown=''; ignore=''
IFS=';'
for pair in $CNI_ARGS; do
    case "$pair" in
        K8S_POD_NAME=*) pod=${pair#*=};;
        K8S_POD_NAMESPACE=*) namespace=${pair#*=};;
        K8S_POD_INFRA_CONTAINER_ID=*) ;;
        IP=*) ip=${pair#*=};;
        IgnoreUnknown=1|IgnoreUnknown=true) ignore=1;;
        *) unknown=$pair;;
    esac
done
unset IFS
[ -z "$unknown" ] || [ -n "$ignore" ] || fail 999 "ARGS: unknown args [$unknown]" ''
handle="$here/handles/$(value name).$CNI_CONTAINERID"
case "$CNI_COMMAND" in
ADD)
    ips=''; routes=''
    give() {
        echo "$1 $namespace/$pod" >> "$handle"
        ips="$ips,{\"address\":\"$1/$2\"}"; routes="$routes,{\"dst\":\"$1/$3\"}"
    }
    next=$(cat "$here/next" 2>/dev/null || echo 3); echo $((next + 1)) > "$here/next"
    [ "$next" -lt 9 ] || fail 999 'failed to request IPv4 addresses: Assigned 0 out of 1 requested IPv4 addresses' ''
    if [ -n "$ip" ]; then
        give "$ip" 32 32
    else
        read -r four six < "$here/masks"
        [ "$(value assign_ipv4)" = false ] || give "192.168.7.$next" "$four" 32
        [ "$(value assign_ipv6)" = true ] && give "fd00:7::$next" "$six" 128
    fi
    printf '{"cniVersion":"%s","ips":[%s],"routes":[%s],"dns":{}}' "$(value cniVersion)" "${ips#,}" "${routes#,}";;
DEL) rm -f "$handle";;
CHECK) ;;
*) fail 4 "unknown CNI_COMMAND: $CNI_COMMAND" '';;
esac
"#;

/// A folder of plugins with one IPAM plugin that is not ours.
struct Foreign {
    folder: tempfile::TempDir,
}

impl Foreign {
    /// Gives addresses with these prefix lengths: of their own, or of the block that they come from.
    fn like_calico(masks: &str) -> Self {
        let foreign = Self { folder: tempfile::tempdir().unwrap() };
        let at = |name: &str| foreign.folder.path().join(name);
        std::fs::write(at("calico-ipam"), LIKE_CALICO).unwrap();
        std::fs::set_permissions(at("calico-ipam"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(at("masks"), format!("{masks}\n")).unwrap();
        std::fs::create_dir(at("handles")).unwrap();
        foreign
    }

    /// A program of this machine under another name.
    fn of(program: &Path, name: &str) -> Self {
        let foreign = Self { folder: tempfile::tempdir().unwrap() };
        assert!(program.is_file(), "`{}` is missing", program.display());
        std::os::unix::fs::symlink(program, foreign.folder.path().join(name)).unwrap();
        foreign
    }

    /// Network and container of every handle that holds addresses.
    fn handles(&self) -> Vec<String> {
        let listing = std::fs::read_dir(self.folder.path().join("handles")).unwrap();
        let mut names: Vec<String> =
            listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn held(&self, handle: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("handles").join(handle)).unwrap()
    }

    fn input(&self, conf: &Value) -> Input {
        let bytes = serde_json::to_vec(conf).unwrap();
        let path = vec![self.folder.path().to_owned()];
        Input::from_stdin(&bytes, path, std::time::Instant::now() + PATIENCE).unwrap()
    }

    fn add(&self, bed: &Bed, conf: &Value, pod: &Pod, who: (&str, &str)) -> Result<CniResult, CniError> {
        let (ifname, args) = who;
        let at = pod.at(ifname, args);
        let plugin = bundled(conf["type"].as_str().unwrap()).unwrap();
        bed.host.run(|| plugin.add(&self.input(conf), &at)).unwrap()
    }

    fn check(&self, bed: &Bed, conf: &Value, pod: &Pod, result: &CniResult) -> Result<(), CniError> {
        let (conf, at) = (with_result(conf, result), pod.at("eth0", POD));
        let plugin = bundled(conf["type"].as_str().unwrap()).unwrap();
        bed.host.run(|| plugin.check(&self.input(&conf), &at)).unwrap()
    }

    fn del(&self, bed: &Bed, conf: &Value, pod: &Pod, who: (&str, &str)) -> Result<(), CniError> {
        let (ifname, args) = who;
        let at = pod.at(ifname, args).detach();
        let plugin = bundled(conf["type"].as_str().unwrap()).unwrap();
        bed.host.run(|| plugin.del(&self.input(conf), &at)).unwrap()
    }
}

/// As the shim, or a runtime under Kubernetes, passes it.
const POD: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-7;K8S_POD_INFRA_CONTAINER_ID=c1;\
                   K8S_POD_UID=u-1";
const ETH0: (&str, &str) = ("eth0", POD);

const HOST: &[&str] = &["bridge", "macvlan", "tap"];
const GUEST: &[&str] = &["ipvlan", "vlan", "dummy"];

fn uplink(bed: &Bed) {
    bed.sh("ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up");
}

fn conf(kind: &str, ipam: &Value) -> Value {
    let conf = json!({"cniVersion": "1.0.0", "name": "blue", "type": kind, "ipam": ipam});
    match kind {
        "bridge" => with(&conf, json!({"bridge": "br0"})),
        "vlan" => with(&conf, json!({"master": "up0", "vlanId": 5})),
        "tap" | "dummy" | "ptp" => conf,
        _ => with(&conf, json!({"master": "up0"})),
    }
}

fn calico() -> Value {
    json!({"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "true"})
}

fn addresses(pod: &Pod) -> [String; 2] {
    ["-4", "-6"].map(|family| {
        let text = pod.sh(&format!("ip {family} -o addr show eth0 scope global"));
        text.split_whitespace().skip_while(|word| !word.starts_with("inet")).nth(1).unwrap_or("").to_owned()
    })
}

// Proves: PLG-CAL-3, PLG-CAL-6
#[test]
fn addresses_without_gateway_go_onto_the_link_and_back_to_calico() {
    addresses_without_gateway_go_onto_the_link_for(HOST);
}

#[track_caller]
fn addresses_without_gateway_go_onto_the_link_for(types: &[&str]) {
    for (masks, expected) in [
        ("32 128", ["192.168.7.3/32", "fd00:7::3/128"]),
        // Of the block that they were assigned from.
        ("26 122", ["192.168.7.3/26", "fd00:7::3/122"]),
    ] {
        for kind in types {
            let (bed, foreign) = (Bed::new(), Foreign::like_calico(masks));
            uplink(&bed);
            let (pod, conf) = (bed.pod("c1"), conf(kind, &calico()));
            let inside = pod.state();
            let result =
                foreign.add(&bed, &conf, &pod, ETH0).unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(addresses(&pod), expected, "{kind}");
            assert!(result.ips.iter().all(|ip| ip.gateway.is_none()), "{kind}");
            assert_eq!(foreign.held("blue.c1"), "192.168.7.3 shop/cart-7\nfd00:7::3 shop/cart-7\n");
            // It has no CHECK, so nothing of its is missed; ours is made all the same.
            foreign.check(&bed, &conf, &pod, &result).unwrap();
            pod.sh(&format!("ip addr del {} dev eth0", expected[0]));
            assert!(foreign.check(&bed, &conf, &pod, &result).is_err(), "{kind}");
            // The second finds no handle, and that is success.
            for _ in 0..2 {
                foreign.del(&bed, &conf, &pod, ETH0).unwrap();
                assert_eq!(foreign.handles(), Vec::<String>::new());
            }
            same(kind, &inside, &pod.state());
        }
    }
}

// Proves: PLG-CAL-3
#[test]
fn what_needs_a_gateway_refuses_calico_and_gives_the_address_back() {
    let bed = Bed::new();
    for (conf, complaint) in [
        (with(&conf("bridge", &calico()), json!({"isGateway": true})), "`isGateway` needs a gateway"),
        (with(&conf("bridge", &calico()), json!({"isDefaultGateway": true})), "`isGateway` needs a gateway"),
        (conf("ptp", &calico()), "without a gateway"),
    ] {
        let (foreign, pod) = (Foreign::like_calico("32 128"), bed.pod("c1"));
        let error = foreign.add(&bed, &conf, &pod, ETH0).unwrap_err();
        assert!(error.msg.contains(complaint), "{error}");
        assert_eq!(foreign.handles(), Vec::<String>::new());
        assert!(!runs(&pod.netns, "ip link show eth0"));
    }
}

// Proves: PLG-CAL-1
#[test]
fn calico_refuses_1_1_0_with_code_1_and_nothing_is_left() {
    calico_refuses_1_1_0_for(HOST);
}

#[track_caller]
fn calico_refuses_1_1_0_for(types: &[&str]) {
    for kind in types {
        let (bed, foreign) = (Bed::new(), Foreign::like_calico("32 128"));
        uplink(&bed);
        let pod = bed.pod("c1");
        let newest = with(&conf(kind, &calico()), json!({"cniVersion": "1.1.0"}));
        let error = foreign.add(&bed, &newest, &pod, ETH0).unwrap_err();
        assert_eq!(
            (error.code, error.msg.contains("incompatible CNI versions")),
            (1, true),
            "{kind}: {error}"
        );
        assert!(!runs(&pod.netns, "ip link show eth0"), "{kind}");
        for version in ["0.3.1", "0.4.0", "1.0.0"] {
            let older = with(&newest, json!({"cniVersion": version}));
            foreign.add(&bed, &older, &pod, ETH0).unwrap_or_else(|error| panic!("{kind} {version}: {error}"));
            foreign.del(&bed, &older, &pod, ETH0).unwrap();
        }
    }
}

// Proves: PLG-CAL-4
#[test]
fn two_attachments_to_one_network_share_a_handle_of_calico_and_to_two_networks_do_not() {
    let (bed, foreign) = (Bed::new(), Foreign::like_calico("32 128"));
    uplink(&bed);
    let (pod, blue) = (bed.pod("c1"), conf("macvlan", &calico()));
    let green = with(&blue, json!({"name": "green"}));
    let net1 = ("net1", POD);
    foreign.add(&bed, &blue, &pod, ETH0).unwrap();
    foreign.add(&bed, &blue, &pod, net1).unwrap();
    assert_eq!(foreign.held("blue.c1").lines().count(), 4, "both attachments");
    foreign.del(&bed, &blue, &pod, net1).unwrap();
    assert_eq!(foreign.handles(), Vec::<String>::new(), "eth0's went too");
    assert!(runs(&pod.netns, "ip link show eth0") && !runs(&pod.netns, "ip link show net1"));
    foreign.del(&bed, &blue, &pod, ETH0).unwrap();
    foreign.add(&bed, &blue, &pod, ETH0).unwrap();
    foreign.add(&bed, &green, &pod, net1).unwrap();
    foreign.del(&bed, &green, &pod, net1).unwrap();
    assert_eq!(foreign.handles(), ["blue.c1"]);
}

// Proves: PLG-CAL-5
#[test]
fn calico_gets_the_pods_identity_and_a_fixed_address_from_the_arguments() {
    for kind in HOST {
        let (bed, foreign) = (Bed::new(), Foreign::like_calico("26 122"));
        uplink(&bed);
        let (pod, conf) = (bed.pod("c1"), conf(kind, &calico()));
        let fixed = format!("{POD};IP=192.168.7.77");
        foreign.add(&bed, &conf, &pod, ("eth0", &fixed)).unwrap();
        assert_eq!(addresses(&pod), ["192.168.7.77/32", ""], "{kind}");
        assert_eq!(foreign.held("blue.c1"), "192.168.7.77 shop/cart-7\n");
        foreign.del(&bed, &conf, &pod, ("eth0", &fixed)).unwrap();
    }
    // Its refusal of what it does not know comes through as it is, where the interface plugin reads no arguments itself.
    let (bed, foreign) = (Bed::new(), Foreign::like_calico("32 128"));
    let (pod, strict) = (bed.pod("c1"), POD.replace("IgnoreUnknown=1;", ""));
    let error = foreign.add(&bed, &conf("ptp", &calico()), &pod, ("eth0", &strict)).unwrap_err();
    assert!(error.code == 999 && error.msg.contains("ARGS: unknown args [K8S_POD_UID=u-1]"), "{error}");
}

// Proves: PLG-CAL-1
#[test]
fn an_error_of_calico_reaches_the_caller_as_it_is() {
    let (bed, foreign) = (Bed::new(), Foreign::like_calico("32 128"));
    uplink(&bed);
    std::fs::write(foreign.folder.path().join("next"), "9\n").unwrap();
    for kind in HOST {
        let pod = bed.pod("c1");
        let error = foreign.add(&bed, &conf(kind, &calico()), &pod, ETH0).unwrap_err();
        assert!(error.code == 999 && error.msg.contains("Assigned 0 out of 1 requested"), "{kind}: {error}");
        assert!(!runs(&pod.netns, "ip link show eth0"), "{kind}");
    }
}

// Proves: PLG-CAL-1, PLG-CAL-3, PLG-CAL-6
#[test]
#[ignore = "needs a kernel with VLAN, ipvlan and dummy links: run it in the guest kernel"]
fn vlan_ipvlan_and_dummy_take_addresses_of_calico_like_the_others() {
    addresses_without_gateway_go_onto_the_link_for(GUEST);
    calico_refuses_1_1_0_for(GUEST);
}

#[test]
fn the_references_host_local_serves_every_interface_plugin_as_a_stranger() {
    let foreign = Foreign::of(Path::new("/usr/lib/cni/host-local"), "stranger");
    for kind in ["bridge", "ptp", "macvlan", "tap"] {
        let bed = Bed::new();
        uplink(&bed);
        let ipam = with(
            &bed.host_local("10.1.0.0/24"),
            json!({"type": "stranger", "routes": [{"dst": "10.8.0.0/16"}]}),
        );
        let (pod, conf) = (bed.pod("c1"), conf(kind, &ipam));
        let (host, inside) = (bed.state(), pod.state());
        let result = foreign.add(&bed, &conf, &pod, ETH0).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((bed.lease_files(), &*addresses(&pod)[0]), (vec!["10.1.0.2".to_owned()], "10.1.0.2/24"));
        assert!(pod.sh("ip route").contains("10.8.0.0/16 via 10.1.0.1"), "{kind}");
        foreign.check(&bed, &conf, &pod, &result).unwrap();
        foreign.del(&bed, &conf, &pod, ETH0).unwrap();
        foreign.del(&bed, &conf, &pod, ETH0).unwrap();
        assert_eq!(bed.lease_files(), Vec::<String>::new(), "{kind}");
        same(kind, &inside, &pod.state());
        if kind == "macvlan" || kind == "tap" {
            bed.becomes(kind, &host);
        }
    }
}

/// `MANIFOLD_CALICO_CONF` names a JSON file with what it needs at top level: `datastore_type`, `kubernetes`, `nodename`
/// and the like. `tap` touches nothing of the machine, through whose network the datastore is reached.
#[test]
#[ignore = "needs a program that is given: MANIFOLD_CALICO_IPAM"]
fn the_real_calico_ipam_gives_addresses_and_takes_them_back() {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let program = given("MANIFOLD_CALICO_IPAM").expect("`MANIFOLD_CALICO_IPAM` is the path of calico-ipam");
    let foreign = Foreign::of(&program, "calico-ipam");
    let further = given("MANIFOLD_CALICO_CONF")
        .map_or(json!({}), |path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap());
    let (bed, conf) = (Bed::of_this_machine(), with(&conf("tap", &json!({"type": "calico-ipam"})), further));
    let pod = bed.pod(&format!("manifold-test-{}", std::process::id()));
    let result = foreign.add(&bed, &conf, &pod, ETH0).unwrap();
    assert_eq!(addresses(&pod)[0], result.ips[0].address.to_string());
    foreign.check(&bed, &conf, &pod, &result).unwrap();
    for _ in 0..2 {
        foreign.del(&bed, &conf, &pod, ETH0).unwrap();
    }
    assert!(!runs(&pod.netns, "ip link show eth0"));
}
