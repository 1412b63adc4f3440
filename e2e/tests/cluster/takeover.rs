//! From Multus to Manifold on a node with running pods, and the way back (docs/from-multus.md).

use manifold_e2e::cluster::Node;
use manifold_e2e::controller::NAMESPACE;
use serde_json::{Value, json};

use crate::bed::{Space, leases, ledger, text};
use crate::multus::{ASKED, Multus, sandbox};
use crate::other::{Content, Other, PODNET, assert_given_back, content, wait_counted};

/// A node that Multus serves, and its pods: `older` is from before Multus, `plain` has the default network alone, `two` has
/// two further ones.
struct Bed {
    space: Space,
    multus: Multus,
    other: Other,
}

impl Bed {
    fn new(name: &str) -> Self {
        let other = Other::start(name);
        let multus = Multus::of(&other);
        let space = Space::on(other.cluster, name);
        for (network, octet) in [("green", 67), ("blue", 68)] {
            space.definition(network, &macvlan(&space, network, octet));
        }
        let bed = Self { space, multus, other };
        bed.start("older", "");
        bed
    }

    fn node(&self) -> &'static Node {
        self.other.node()
    }

    fn start(&self, pod: &str, networks: &str) {
        self.space.pod(pod, self.node(), networks);
        self.space.wait_ready(pod);
    }

    /// How many addresses the test's pods have of the default network, of `green` and of `blue`.
    fn leases(&self) -> [usize; 3] {
        let [green, blue] = ["green", "blue"].map(|name| self.space.leases(self.node(), name).len());
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let others = self.other.cluster.list(&path).unwrap();
        let is_theirs = |address: &String| others.iter().any(|pod| text(pod, "/status/podIP") == address);
        [leases(self.node(), PODNET).iter().filter(|address| !is_theirs(address)).count(), green, blue]
    }

    /// The chart beside Multus, whose file stays. Pods that start from now on are Manifold's.
    fn take_over(&self) {
        // The definition of definitions is there; Helm 4 stops at one that somebody else has applied.
        self.other.install(&["--skip-crds"]);
        assert_eq!(self.first(), "00-manifold.conflist");
        let [two, plain] = ["two", "plain"].map(|pod| sandbox(self.node(), &self.space, pod));
        assert!(!ledger(self.node()).iter().any(|id| *id == two || *id == plain), "they are not ours");
    }

    /// The configuration that the runtime takes.
    fn first(&self) -> String {
        let said =
            self.node().exec(&["sh", "-c", "ls /etc/cni/net.d/*.conf /etc/cni/net.d/*.conflist"]).unwrap();
        let first = said.lines().min().unwrap();
        first.rsplit('/').next().unwrap().to_owned()
    }

    /// The old pods go on, the new one is Manifold's, and they reach each other on the further network.
    fn new_beside_old(&self) {
        self.start("new", "green");
        assert!(ledger(self.node()).contains(&sandbox(self.node(), &self.space, "new")));
        let status = self.space.status("new");
        let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
        assert_eq!(told, ["eth0", "net1"]);
        for network in &status {
            self.space.wait_reached("two", text(network, "/ips/0"));
        }
        assert_eq!(self.leases(), [4, 2, 1]);
        // The definition of definitions is Manifold's by now, and old pods count.
        wait_counted(&self.space, "green", "2");
    }

    /// What Multus attached is taken down by what it left: addresses, interfaces, files.
    fn old_ones_go(&self) {
        let [two, plain] = ["two", "plain"].map(|pod| sandbox(self.node(), &self.space, pod));
        let left = |id: &str| self.multus.state().iter().filter(|name| name.contains(id)).count();
        assert_eq!([left(&two), left(&plain)], [4, 2], "{:?}", self.multus.state());
        self.space.delete("two");
        assert_eq!([left(&two), left(&plain)], [0, 2], "{:?}", self.multus.state());
        assert_eq!(self.leases(), [3, 1, 0]);
        self.space.delete("plain");
        assert_eq!([left(&two), left(&plain)], [0, 0], "{:?}", self.multus.state());
        assert_eq!(self.leases(), [2, 1, 0]);
        self.space.delete("older");
        assert_eq!(self.leases(), [1, 1, 0]);
    }

    /// Refused while `new` has its network; then every byte is as Multus left it, and the runtime asks Multus again.
    fn go_back(&self, before: &Content) {
        let refusal = self.other.cluster.uninstall().unwrap_err().to_string();
        assert!(refusal.contains(&format!("{}/new", self.space.name)), "{refusal}");
        self.space.delete("new");
        assert_eq!(self.leases()[1], 0);
        // The refusal goes by what the definitions say of their pods.
        wait_counted(&self.space, "green", "0");
        self.other.cluster.uninstall().unwrap();
        assert_given_back(self.node(), before);
        assert_eq!(self.first(), "00-multus.conf");
    }
}

fn macvlan(space: &Space, name: &str, octet: u8) -> Value {
    json!({"cniVersion": "1.0.0", "name": space.network(name), "type": "macvlan", "master": "eth0",
           "ipam": {"type": "host-local", "subnet": format!("10.{octet}.0.0/24")}})
}

// Proves: MLT-CACHE-1, F-POD-7, NPWG-6.1-2
#[test]
fn pods_of_multus_run_on_are_taken_down_by_what_it_left_and_it_gets_its_node_back() {
    let bed = Bed::new("takeover");
    for (pod, networks) in [("plain", ""), ("two", "green,blue@data0")] {
        bed.start(pod, networks);
    }
    let [green, blue] = [("green", 67), ("blue", 68)].map(|(name, octet)| macvlan(&bed.space, name, octet));
    let [one, other] = ["green", "blue"].map(|name| format!("{}/{name}", bed.space.name));
    bed.multus.attach(&bed.space, "plain", &[]);
    bed.multus.attach(&bed.space, "two", &[(&one, "", &green), (&other, "data0", &blue)]);
    bed.multus.stand_in();
    bed.multus.configure();
    assert_eq!(bed.leases(), [3, 1, 1]);
    let before = content(bed.node());
    bed.take_over();
    bed.new_beside_old();
    bed.old_ones_go();
    bed.go_back(&before);
    bed.space.pod("next", bed.node(), "");
    let words = [
        "get",
        "events",
        "--namespace",
        &bed.space.name,
        "--field-selector=involvedObject.name=next",
        "-o",
        "jsonpath={.items[*].message}",
    ];
    let told = bed.other.cluster.wait("the runtime to ask Multus", || {
        Ok(bed.other.cluster.kubectl(&words)?.contains(ASKED).then_some(()))
    });
    told.unwrap();
}

#[test]
#[ignore = "needs a program that is given: MANIFOLD_MULTUS"]
fn the_real_multus_hands_its_pods_over_and_takes_its_node_back() {
    let bed = Bed::new("multus");
    bed.multus.install();
    bed.multus.configure();
    bed.start("plain", "");
    bed.start("two", "green,blue@data0");
    let status = bed.space.status("two");
    let told: Vec<&str> = status.iter().map(|entry| text(entry, "/interface")).collect();
    assert_eq!(told, ["eth0", "net1", "data0"]);
    assert_eq!(bed.leases(), [3, 1, 1]);
    let before = content(bed.node());
    bed.take_over();
    bed.new_beside_old();
    bed.old_ones_go();
    // It has the default network alone, so it may outlive Manifold: Multus knows what to do with it.
    bed.start("kept", "");
    bed.go_back(&before);
    bed.start("next", "green");
    assert_eq!(bed.space.status("next").len(), 2);
    let next = sandbox(bed.node(), &bed.space, "next");
    assert!(bed.multus.state().contains(&next), "Multus made it: {:?}", bed.multus.state());
    for pod in ["kept", "next"] {
        bed.space.delete(pod);
    }
    assert_eq!(bed.leases(), [0, 0, 0]);
    assert_eq!(bed.other.ports(), Vec::<String>::new());
}
