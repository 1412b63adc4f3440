//! Where the executables run, and that they are replaced under those that run.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use manifold_e2e::cluster::Node;
use serde_json::{Value, json};

use crate::bed::{Space, cluster, text};
use crate::processes::Process;

const FOLDER: &str = "/opt/cni/bin";
const SHIM: &str = "/opt/cni/bin/manifold";
const SHIMS: usize = 100;
const FOREIGN: &str = "tells-where";
const TOLD: &str = "/run/tells-where";
const NAMESPACES: &str = "for kind in mnt net pid uts; do readlink /proc/self/ns/$kind; done";

/// A plugin that writes down where it runs, and under whom.
struct Teller(PathBuf);

impl Teller {
    fn install(node: &Node) -> Self {
        let inside = format!("{FOLDER}/{FOREIGN}");
        let result = json!({"cniVersion": "1.0.0"});
        let script = format!(
            "#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] || exit 0\n\
             {{ {NAMESPACES}; nsenter --net=$CNI_NETNS ip -o link show eth0 >/dev/null && echo entered\n\
             at=$PPID; while [ $at -gt 1 ]; do cat /proc/$at/comm\n\
             at=$(sed -n 's/^PPid:\\t//p' /proc/$at/status); done; }} >{TOLD}\necho '{result}'\n"
        );
        node.write(&inside, &script).unwrap();
        let path = node.path(&inside);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

// Proves: P-UP-8
#[test]
fn plugins_run_on_the_node_itself_as_the_runtime_started_them() {
    let space = Space::new("onhost");
    let node = &space.cluster.nodes()[0];
    let _teller = Teller::install(node);
    let name = space.network("where");
    space.definition("where", &json!({"cniVersion": "1.0.0", "name": name, "type": FOREIGN}));
    space.pod("asks", node, "where");
    space.wait_ready("asks");
    let told = fs::read_to_string(node.path(TOLD)).unwrap();
    let own = node.exec(&["sh", "-c", NAMESPACES]).unwrap();
    let rest = told.strip_prefix(&own).unwrap_or_else(|| panic!("not the node's namespaces: {told}, {own}"));
    let above: Vec<&str> = rest.lines().collect();
    assert_eq!(above.get(..3), Some(&["entered", "manifold", "containerd"][..]), "{told}");
    let role = Process::wait_node_role(space.cluster, node);
    let seen = fs::read_link(role.path("ns/mnt")).unwrap();
    assert!(!told.contains(seen.to_str().unwrap()), "the node agent's container is another place");
    space.delete("asks");
    fs::remove_file(node.path(TOLD)).unwrap();
}

/// One that waits for its input: the end of a sandbox that was never there.
fn start(node: &Node, number: usize) -> Child {
    let mut command = node.machine().command(SHIM).unwrap();
    let sandbox = format!("hundred-{number}");
    command.env_clear().env("CNI_COMMAND", "DEL").env("CNI_CONTAINERID", sandbox).env("CNI_IFNAME", "eth0");
    command.env("CNI_PATH", FOLDER);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What a runtime would write to it.
fn input(node: &Node) -> String {
    let list = fs::read(node.path("/etc/cni/net.d/00-manifold.conflist")).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    let mut plugin = list["plugins"][0].clone();
    for key in ["name", "cniVersion"] {
        plugin[key] = list[key].clone();
    }
    plugin.to_string()
}

fn finish(mut shim: Child, input: &str) -> Output {
    shim.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    shim.wait_with_output().unwrap()
}

// Proves: P-UP-1
#[test]
fn the_executable_is_installed_under_a_hundred_shims_that_run_on() {
    let node = &cluster().nodes()[0];
    let (whole, before) = (fs::read(node.path(SHIM)).unwrap(), fs::metadata(node.path(SHIM)).unwrap().ino());
    let shims: Vec<Child> = (0..SHIMS).map(|number| start(node, number)).collect();
    let executes = |shim: &Child| fs::metadata(format!("/proc/{}/exe", shim.id())).unwrap().ino();
    let all = || Ok(shims.iter().all(|shim| executes(shim) == before).then_some(()));
    cluster().wait("all shims to run", all).unwrap();
    // What a failed copy leaves, or another installer.
    let torn = node.path("/opt/cni/bin/.torn");
    fs::write(&torn, "torn").unwrap();
    fs::rename(&torn, node.path(SHIM)).unwrap();
    let installed = || {
        let meta = fs::metadata(node.path(SHIM))?;
        let is_whole = meta.permissions().mode() & 0o777 == 0o755 && fs::read(node.path(SHIM))? == whole;
        Ok(is_whole.then_some(meta.ino()))
    };
    let now = cluster().wait("the executable to be installed", installed).unwrap();
    assert_ne!(now, before, "beside, and renamed");
    assert!(shims.iter().all(|shim| executes(shim) == before), "those that run keep their file");
    let input = input(node);
    for shim in shims.into_iter().chain([start(node, SHIMS)]) {
        let output = finish(shim, &input);
        assert!(output.status.success(), "{output:?}");
    }
    let linked = || Ok((fs::metadata(node.path("/opt/cni/bin/loopback"))?.ino() == now).then_some(()));
    cluster().wait("the other name to lead there too", linked).unwrap();
    let space = Space::new("installed");
    space.pod("next", node, "");
    assert!(!text(&space.wait_ready("next"), "/status/podIP").is_empty());
    space.delete("next");
}
