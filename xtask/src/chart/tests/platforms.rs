//! What nodes of other platforms need: their folders, and a label where SELinux is enforced.

use std::fs;

use manifold_e2e::helm::Generation;
use serde_json::{Value, json};

use super::{configuration, helm, notes, objects, one};

const USUAL_SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";

/// The rows of the table in `docs/platforms.md`: platform, folder of plugins, folder of configurations, socket.
fn documented() -> Vec<[String; 4]> {
    let page = fs::read_to_string(crate::build::root().join("docs/platforms.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains("| `/"));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    let rows = rows.map(|row| Vec::try_into(cells(row)).unwrap());
    rows.map(|mut row: [String; 4]| {
        if row[0] == "empty" {
            row[0].clear();
        }
        row
    })
    .collect()
}

fn folders(all: &[Value]) -> [String; 2] {
    let volumes = &one(all, "DaemonSet", "manifold-node")["spec"]["template"]["spec"]["volumes"];
    let path = |name: &str| {
        let all = volumes.as_array().unwrap();
        all.iter().find(|v| v["name"] == name).unwrap()["hostPath"]["path"].as_str().unwrap().to_owned()
    };
    [path("executables"), path("configurations")]
}

// Proves: COMPAT-30
#[test]
fn every_platform_of_the_schema_is_rendered_as_its_row_of_the_documentation_says() {
    let rows = documented();
    let schema = fs::read_to_string(manifold_e2e::helm::chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(json!(names), schema["properties"]["platform"]["enum"]);
    for [platform, bin, conf, socket] in &rows {
        let all = objects(&[&format!("platform={platform:?}")]);
        assert_eq!(folders(&all), [bin.clone(), conf.clone()], "{platform}");
        let mounts = &one(&all, "DaemonSet", "manifold-node")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
        let mounts: Vec<&str> =
            mounts.as_array().unwrap().iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
        assert!(mounts.contains(&bin.as_str()) && mounts.contains(&conf.as_str()), "{platform}: {mounts:?}");
        let host = &configuration(&all, "manifold-node")["host"];
        assert_eq!((&host["binDir"], &host["confDir"]), (&json!(bin), &json!(conf)), "{platform}");
        let named = host["podResourcesSocket"].as_str().unwrap_or(USUAL_SOCKET);
        assert_eq!(named, socket, "{platform}");
    }
}

#[test]
fn a_value_that_is_given_wins_over_the_platforms() {
    let all = objects(&[
        "platform=\"microk8s\"",
        "node.binDir=\"/opt/plugins\"",
        "node.podResourcesSocket=\"/data/kubelet.sock\"",
    ]);
    let given = ["/opt/plugins", "/var/snap/microk8s/current/args/cni-network"];
    assert_eq!(folders(&all), given.map(str::to_owned));
    assert_eq!(configuration(&all, "manifold-node")["host"]["podResourcesSocket"], "/data/kubelet.sock");
}

#[test]
fn the_notes_say_which_folders_were_taken_and_how_to_take_others() {
    let usual = notes(&[]);
    assert!(usual.contains("`/opt/cni/bin`") && usual.contains("--set platform="), "{usual}");
    let k0s = notes(&["platform=\"k0s\"", "node.confDir=\"/data/net.d\""]);
    for part in ["platform `k0s`", "`/data/net.d`", "`/var/lib/k0s/kubelet/pod-resources/kubelet.sock`"] {
        assert!(k0s.contains(part), "{k0s}");
    }
}

#[test]
fn a_platform_that_is_not_known_is_refused() {
    for generation in [Generation::Three, Generation::Four] {
        let said = helm(generation).template("nets", &["platform=\"k8s\""], &[]).unwrap().unwrap_err();
        assert!(said.contains("platform"), "{said}");
    }
}

// Shows part of: COMPAT-29
#[test]
fn the_selinux_label_reaches_every_daemon_set_and_nothing_else_changes() {
    let plain = objects(&["dhcp.enabled=true"]);
    let mut labelled = objects(&["dhcp.enabled=true", "node.seLinuxOptions={\"type\": \"spc_t\"}"]);
    let mut sets = 0;
    for (object, plain) in labelled.iter_mut().zip(&plain) {
        if object["kind"] == "DaemonSet" {
            sets += 1;
            let pod = &mut object["spec"]["template"]["spec"]["securityContext"];
            assert_eq!(pod["seLinuxOptions"], json!({"type": "spc_t"}), "{}", plain["metadata"]["name"]);
            pod.as_object_mut().unwrap().remove("seLinuxOptions");
        }
        assert_eq!(object, plain);
    }
    assert_eq!(sets, 2);
    for wrong in ["node.seLinuxOptions={\"kind\": \"spc_t\"}", "node.seLinuxOptions={\"type\": 5}"] {
        assert!(helm(Generation::Four).template("nets", &[wrong], &[]).unwrap().is_err(), "{wrong}");
    }
}
