//! What is put into the node's folders, when, and what brings it back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use manifold_e2e::project;
use serde_json::{Value, json};

use super::bed::{BRIDGE, CONFLIST, Node, define, edit, files, server};

/// A restoring may take this long on a machine that is not busy.
const SOON: Duration = Duration::from_secs(2);

// Proves: F-NOD-5
#[test]
fn the_configuration_comes_when_the_node_can_serve_and_not_before() {
    let api = server();
    let node = Node::new(&api, "node-first", json!({}));
    node.start();
    node.wait("the executable", || node.bin("manifold").exists());
    node.wait("credentials", || !node.token_file().is_empty());
    node.wait("a word why", || {
        node.page("/readyz").is_some_and(|(_, body)| body.contains("is not known yet"))
    });
    assert!(!node.conf(CONFLIST).exists());
    define(&api, Some(BRIDGE));
    node.wait("the configuration", || node.conf(CONFLIST).exists());
    let list: Value = serde_json::from_slice(&fs::read(node.conf(CONFLIST)).unwrap()).unwrap();
    assert_eq!(list["cniVersion"], "1.1.0", "as the Node says of its runtime");
    assert_eq!(list["plugins"][0]["capabilities"]["portMappings"], true);
    assert_eq!(fs::read(node.bin("manifold")).unwrap(), fs::read("/bin/true").unwrap());
    node.wait("ready", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
    assert_eq!(node.sum("manifold_node_serves", &[]), 1.0);
}

// Proves: COMPAT-39
#[test]
fn folders_into_which_the_runtime_does_not_look_are_told_with_the_value() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-elsewhere", json!({}));
    node.says_of_itself("v1.31.2+k3s1");
    let node = node.serving();
    node.wait("an event", || {
        let told = node.events("default", "FoldersNotRead", &node.name);
        told.iter().any(|told| {
            told.contains("`/var/lib/rancher/k3s/data/cni`") && told.contains("`platform` to `k3s`")
        })
    });
}

// Proves: F-NOD-4, P-UP-3, COMPAT-32
#[test]
fn what_a_rival_does_to_the_configuration_is_undone_at_once_and_told() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-rival", json!({})).serving();
    let whole = fs::read(node.conf(CONFLIST)).unwrap();
    let is_whole = || fs::read(node.conf(CONFLIST)).is_ok_and(|now| now == whole);
    let restored = || {
        fs::rename(node.conf(CONFLIST), node.conf("00-manifold.conflist.cilium_bak")).unwrap();
        node.wait("restored", is_whole)
    };
    // A machine that stands still spoils one time; a change that nobody hears of, all of them.
    let mut took = vec![restored()];
    while took.len() < 3 && took.last().is_some_and(|last| *last >= 5 * SOON) {
        took.push(restored());
    }
    assert!(took.last().is_some_and(|last| *last < 5 * SOON), "{took:?}");
    node.wait("an event that names it", || {
        let told = node.events("default", "ConfigurationRestored", &node.name);
        told.iter().any(|told| told.contains("Cilium") && told.contains("`cni.exclusive=false`"))
    });
    assert!(node.sum("manifold_node_rivals_total", &[("rival", "Cilium")]) >= 1.0);
    assert!(
        node.sum("manifold_node_files_total", &[("file", "Configuration"), ("outcome", "Restored")]) >= 1.0
    );
    // The next time it waits a second or more, and does it all the same.
    fs::write(node.conf(CONFLIST), "").unwrap();
    node.wait("restored", is_whole);
    fs::write(node.conf("00-a.conflist"), BRIDGE).unwrap();
    node.wait("first again", || node.conf("00-!manifold.conflist").exists());
    assert!(!node.conf(CONFLIST).exists(), "never two");
    // The folder itself.
    node.wait("the folder's end", || fs::remove_dir_all(node.conf("")).is_ok());
    node.wait("restored", is_whole);
}

// Proves: COMPAT-40
#[test]
fn a_mesh_that_adds_itself_to_our_configuration_is_taken_out_and_told_where_to_write() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-mesh", json!({})).serving();
    let whole = fs::read(node.conf(CONFLIST)).unwrap();
    let mut list: Value = serde_json::from_slice(&whole).unwrap();
    list["plugins"].as_array_mut().unwrap().push(json!({"type": "istio-cni"}));
    fs::write(node.conf(CONFLIST), list.to_string()).unwrap();
    node.wait("restored", || fs::read(node.conf(CONFLIST)).is_ok_and(|now| now == whole));
    node.wait("an event that names it", || {
        let told = node.events("default", "ConfigurationRestored", &node.name);
        told.iter().any(|told| told.contains("Istio CNI") && told.contains("the default network's own file"))
    });
    assert!(node.sum("manifold_node_rivals_total", &[("rival", "Istio")]) >= 1.0);
}

// Proves: F-NOD-6, P-UP-7
#[test]
fn killed_again_and_again_it_withdraws_nothing() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-killed", json!({})).serving();
    let text = fs::read(node.conf(CONFLIST)).unwrap();
    for round in 0..20 {
        node.kill();
        let there =
            || fs::read(node.conf(CONFLIST)).is_ok_and(|now| now == text) && !node.token_file().is_empty();
        assert!(there(), "round {round}");
        node.start();
        // Killed while it begins, somewhere.
        std::thread::sleep(Duration::from_millis(10 * round));
        assert!(there(), "round {round}");
    }
    node.wait("serving", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
    assert_eq!(fs::read_dir(node.conf("")).unwrap().count(), 1);
}

#[test]
fn started_while_the_api_server_is_away_it_restores_what_it_had_written() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-alone", json!({})).serving();
    node.kill();
    let text = fs::read(node.conf(CONFLIST)).unwrap();
    fs::remove_file(node.conf(CONFLIST)).unwrap();
    fs::write(node.bin("manifold"), "torn").unwrap();
    api.stop();
    node.start();
    node.wait("restored", || fs::read(node.conf(CONFLIST)).is_ok_and(|now| now == text));
    assert_eq!(fs::read(node.bin("manifold")).unwrap(), fs::read("/bin/true").unwrap());
    api.start_again().unwrap();
    node.wait("serving", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
}

#[test]
fn the_mirror_follows_the_definition() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-mirror", json!({})).serving();
    let mirrored = || -> Value {
        let bytes = fs::read(node.state("cluster-wide-network.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    assert_eq!(mirrored()["spec"]["config"], BRIDGE);
    let other = BRIDGE.replace("10.77.0.0", "10.78.0.0");
    edit(&api, &json!({"spec": {"config": other}}));
    node.wait("the change", || mirrored()["spec"]["config"] == other.as_str());
    // What cannot be served does not replace what can.
    edit(&api, &json!({"spec": {"config": "{\"type\": \"nowhere\", \"cniVersion\": \"1.0.0\"}"}}));
    node.wait("a word", || node.page("/readyz").is_some_and(|(_, body)| body.contains("stays as it was")));
    assert_eq!(mirrored()["spec"]["config"], other.as_str());
}

#[test]
fn the_configuration_of_somebody_else_is_the_default_network() {
    let api = server();
    define(&api, None);
    let node = Node::new(&api, "node-foreign", json!({}));
    fs::write(node.conf("10-calico.conflist"), BRIDGE.replace("\"plain\"", "\"k8s-pod-network\"")).unwrap();
    let node = node.serving();
    let bytes = fs::read(node.state("cluster-wide-network.json")).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("k8s-pod-network"));
}

// Proves: S-3, S-2
#[test]
fn every_file_is_for_root_alone_and_no_log_or_configuration_holds_the_token() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-modes", json!({})).serving();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [node.state(""), node.state("credentials")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for (name, found, _) in files_only(&folder) {
            assert_eq!(found & 0o777, 0o600, "{name}");
        }
    }
    assert_eq!(mode(&node.conf(CONFLIST)), 0o600);
    let token = node.token_file();
    let secret = token.rsplit('.').next().unwrap();
    assert!(token.len() > 100 && !node.said().contains(secret));
    for (name, _, bytes) in files(&node.conf("")).into_iter().chain(files_only(&node.state(""))) {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{name}");
    }
}

/// What a container of the DaemonSet has without the built-in network: root, and no capability.
// Proves: S-20
#[test]
fn it_needs_no_capability() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-bare", json!({}));
    node.start_by(&["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    node.wait("serving", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    fs::write(node.conf(CONFLIST), "").unwrap();
    node.wait("restored", || fs::metadata(node.conf(CONFLIST)).is_ok_and(|m| m.len() > 0));
    let manifest = fs::read_to_string(project::root().join("deploy/node/daemonset.yaml")).unwrap();
    let set: Value = serde_yaml::from_str(&manifest).unwrap();
    let pod = &set["spec"]["template"]["spec"];
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        "with the built-in network"
    );
    assert_eq!((&security["privileged"], &security["readOnlyRootFilesystem"]), (&json!(false), &json!(true)));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert!(pod["hostPID"].is_null());
    let paths = pod["volumes"].as_array().unwrap().iter().filter_map(|v| v["hostPath"]["path"].as_str());
    assert_eq!(paths.collect::<Vec<_>>(), ["/opt/cni/bin", "/etc/cni/net.d", "/var/lib/cni"]);
}

fn files_only(folder: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .filter_map(|path| {
            // One that is just being written goes under this name.
            let mode = path.metadata().ok()?.permissions().mode();
            Some((path.display().to_string(), mode, fs::read(path).ok()?))
        })
        .collect()
}

/// A mount of a folder over itself, read-only; taken away with it.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(folder: &Path) -> Self {
        let mount = |words: &[&str]| {
            let done = std::process::Command::new("mount").args(words).arg(folder).status();
            assert!(done.unwrap().success(), "{words:?}");
        };
        mount(&["--bind", &folder.to_string_lossy()]);
        mount(&["-o", "remount,bind,ro"]);
        Self(folder.to_owned())
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

// Proves: COMPAT-29
#[test]
fn a_folder_that_cannot_be_written_is_named_with_the_value_and_nothing_is_changed() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-denied", json!({})).serving();
    let text = fs::read(node.conf(CONFLIST)).unwrap();
    let read_only = ReadOnly::new(&node.bin(""));
    node.kill();
    node.start();
    let told = |parts: &[&str]| parts.iter().all(|part| node.said().contains(part));
    node.wait("a sentence", || {
        told(&["opt/cni/bin", "Read-only file system", "`node.binDir`", "`platform`"])
    });
    assert_eq!(fs::read(node.conf(CONFLIST)).unwrap(), text, "the node keeps its configuration");
    node.wait("the end of the process", || node.page("/healthz").is_none());
    drop(read_only);
    node.kill();
    node.start();
    node.wait("serving", || node.page("/readyz").is_some_and(|(status, _)| status == 200));
    // A container without capabilities, and a folder of somebody else.
    node.kill();
    std::os::unix::fs::chown(node.conf(""), Some(65532), Some(65532)).unwrap();
    node.start_by(&["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
    node.wait("a sentence", || {
        told(&["etc/cni/net.d", "Permission denied", "`node.confDir`", "DAC_OVERRIDE"])
    });
    assert_eq!(fs::read(node.conf(CONFLIST)).unwrap(), text);
}

// Proves: COMPAT-29
#[test]
fn a_folder_that_becomes_read_only_later_is_named_in_readiness() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-later", json!({})).serving();
    fs::write(node.bin("manifold"), "torn").unwrap();
    node.wait("restored", || fs::read(node.bin("manifold")).unwrap() == fs::read("/bin/true").unwrap());
    fs::remove_file(node.bin("manifold")).unwrap();
    let _read_only = ReadOnly::new(&node.bin(""));
    node.wait("a word in readiness", || {
        node.page("/readyz").is_some_and(|(status, body)| {
            status != 200 && body.contains("Read-only file system") && body.contains("`node.binDir`")
        })
    });
}

// Proves: COMPAT-30
#[test]
fn the_folders_may_be_symbolic_links() {
    let api = server();
    define(&api, Some(BRIDGE));
    let node = Node::new(&api, "node-links", json!({}));
    let moved = |name: &str| {
        let (old, new) = (node.host.path().join(name), node.host.path().join("data").join(name));
        fs::create_dir_all(new.parent().unwrap()).unwrap();
        fs::rename(&old, &new).unwrap();
        std::os::unix::fs::symlink(&new, &old).unwrap();
        new
    };
    let (bin, conf, state) = (moved("opt/cni/bin"), moved("etc/cni/net.d"), moved("var/lib/cni"));
    let before = [files(&bin), files(&conf)];
    let node = node.serving();
    assert!(bin.join("manifold").exists() && state.join("manifold/credentials/token").exists());
    let text = fs::read(conf.join(CONFLIST)).unwrap();
    fs::remove_file(conf.join(CONFLIST)).unwrap();
    node.wait("restored", || fs::read(conf.join(CONFLIST)).is_ok_and(|now| now == text));
    fs::remove_file(bin.join("manifold")).unwrap();
    node.wait("restored", || bin.join("manifold").exists());
    edit(&api, &json!({"metadata": {"annotations": {"manifold.network/uninstall": "now"}}}));
    node.wait("given back", || [files(&bin), files(&conf)] == before);
    for name in ["opt/cni/bin", "etc/cni/net.d", "var/lib/cni"] {
        assert!(fs::symlink_metadata(node.host.path().join(name)).unwrap().is_symlink(), "{name}");
    }
}
