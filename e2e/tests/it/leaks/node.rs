//! What a node has beside its network: mounts, files, locks, processes, and objects of the API server.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;

use manifold_e2e::api_server::ApiServer;
use manifold_e2e::netns::TestNetns;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Bed, assert_as_before, assert_told, is_of_others, settled};

// Proves: T-1
#[test]
fn a_mount_of_a_namespace_that_is_left_is_told() {
    let bed = Bed::new();
    let path = Path::new("/run/netns").join(format!("planted-{}", std::process::id()));
    let told = format!("machine: network namespace `{}` appeared", path.display());
    let plant = || {
        File::create_new(&path).unwrap();
        mount(Some(bed.pod.path()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    };
    let remove = || {
        umount2(&path, MntFlags::MNT_DETACH).unwrap();
        fs::remove_file(&path).unwrap();
    };
    assert_told(&bed.plant(plant, remove), &told);
    let rest = bed.rest.get().unwrap();
    let left = rest.diff(&bed.oracle().snapshot().unwrap());
    assert!(!left.iter().any(|leak| leak.contains(&path.display().to_string())), "{left:#?}");
    // Without its mount, as a crash in between leaves it.
    let leaks = bed.plant(|| drop(File::create_new(&path).unwrap()), || fs::remove_file(&path).unwrap());
    assert_told(&leaks, &told);
}

// Proves: T-1
#[test]
fn files_of_leases_ledger_locks_spool_and_devices_are_told() {
    let bed = Bed::new();
    let lease = bed.leases().join("10.1.0.3");
    let leaks =
        bed.plant(|| fs::write(&lease, "container\neth0").unwrap(), || fs::remove_file(&lease).unwrap());
    assert_told(&leaks, "machine: file `leases/right/10.1.0.3` appeared");

    let kept = bed.leases().join("10.1.0.2");
    let leaks = bed
        .plant(|| fs::write(&kept, "other\neth0").unwrap(), || fs::write(&kept, "container\neth0").unwrap());
    assert_told(&leaks, "machine: file `leases/right/10.1.0.2` changed: content was");

    let mode = |mode| fs::set_permissions(&kept, fs::Permissions::from_mode(mode)).unwrap();
    let was = fs::metadata(&kept).unwrap().permissions().mode();
    let leaks = bed.plant(|| mode(0o600), || mode(was));
    assert_told(&leaks, "machine: file `leases/right/10.1.0.2` changed: mode was");

    for name in
        ["0123abcd", "locks/0123abcd", "spool/1", "devinfo/k8s.cni.cncf.io-default-right-net1-device.json"]
    {
        let path = bed.state().join(name);
        let top = bed.state().join(name.split('/').next().unwrap());
        let plant = || {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "{}").unwrap();
        };
        let remove =
            || if top.is_dir() { fs::remove_dir_all(&top).unwrap() } else { fs::remove_file(&top).unwrap() };
        assert_told(&bed.plant(plant, remove), &format!("machine: file `state/{name}` appeared"));
    }
}

// Proves: T-1
#[test]
fn a_lock_that_is_still_held_is_told() {
    let bed = Bed::new();
    fs::create_dir_all(bed.state()).unwrap();
    let path = bed.state().join("lock");
    fs::write(&path, "").unwrap();
    let oracle = bed.oracle();
    let before = settled(&oracle);
    let held = Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusive).unwrap();
    assert_told(
        &before.diff(&oracle.snapshot().unwrap()),
        "machine: held lock `state/lock` appeared: holder FLOCK",
    );
    drop(held);
    assert_as_before(&oracle, &before);
}

// Proves: T-1
#[test]
fn a_process_that_is_left_in_a_watched_namespace_is_told() {
    let bed = Bed::new();
    let start = |netns: &TestNetns| -> Child { netns.command("sleep").unwrap().arg("300").spawn().unwrap() };
    for (netns, place) in [(bed.host.netns(), "host"), (&bed.pod, "pod 1")] {
        let oracle = bed.oracle();
        let before = settled(&oracle);
        let mut left = start(netns);
        let leaks = before.diff(&oracle.snapshot().unwrap());
        left.kill().unwrap();
        left.wait().unwrap();
        assert_told(&leaks, &format!("{place}: process `sleep ({})` appeared: command sleep 300", left.id()));
        assert_as_before(&oracle, &before);
    }
}

// Proves: T-1
#[test]
fn an_object_of_the_api_server_is_told() {
    let bed = Bed::new();
    let namespace = ApiServer::shared().unwrap().namespace("leaks").unwrap();
    namespace.pod("cart", &[]).unwrap();
    let oracle = bed.oracle().objects(|| namespace.objects());
    let before = settled(&oracle);
    namespace.definition("left", "{}").unwrap();
    let patch = serde_json::json!({"metadata": {"annotations": {"left": "behind"}}});
    let path = format!("/api/v1/namespaces/{}/pods/cart", namespace.name());
    ApiServer::shared().unwrap().client().send("PATCH", &path, &patch).unwrap();
    let mut leaks = before.diff(&oracle.snapshot().unwrap());
    leaks.retain(|leak| !is_of_others(leak));
    assert_told(&leaks, "API server: object `network-attachment-definitions/left` appeared");
    assert_told(&leaks, "API server: object `pods/cart` changed");
    assert_eq!(leaks.len(), 2, "{leaks:#?}");
}
