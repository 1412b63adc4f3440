//! What an image holds: the executables, who runs them, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::*;

/// An archive, unpacked: its configuration, and the files of all layers as tar tells them.
struct Image {
    config: Value,
    files: Vec<String>,
    name: String,
}

/// Any bytes do as executables here: that real ones are static, `elf` checks.
fn built(image: &str, arch: Arch) -> (Image, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let executables = ["manifold", "manifold-controller"].map(|name| {
        let path = folder.path().join(name);
        fs::write(&path, format!("this is {name}")).unwrap();
        (name, path)
    });
    packages::for_images().unwrap();
    let archive = image_of(image, arch, &executables, &folder.path().join("images")).unwrap();
    (read(&archive), fs::read(&archive).unwrap())
}

fn read(archive: &Path) -> Image {
    let folder = tempfile::tempdir().unwrap();
    tar(&["-xf", archive.to_str().unwrap(), "-C", folder.path().to_str().unwrap()]);
    let json = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |digest: &Value| folder.path().join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let index = json(&folder.path().join("index.json"));
    let manifest = json(&blob(&index["manifests"][0]["digest"]));
    let layers = manifest["layers"].as_array().unwrap();
    let list = |layer: &Value| tar(&["--numeric-owner", "-tvf", blob(&layer["digest"]).to_str().unwrap()]);
    Image {
        config: json(&blob(&manifest["config"]["digest"])),
        files: layers.iter().flat_map(|l| list(l).lines().map(str::to_owned).collect::<Vec<_>>()).collect(),
        name: index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap()
            .into(),
    }
}

fn tar(words: &[&str]) -> String {
    let out = Command::new("tar").args(words).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Name to mode and owner.
fn files(image: &Image) -> BTreeMap<String, String> {
    let entries = image.files.iter().map(|line| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        (words.last().unwrap().to_owned(), format!("{mode} {owner}"))
    });
    entries.filter(|(name, _)| !name.ends_with('/')).collect()
}

#[test]
fn the_nodes_image_holds_both_executables_and_nothing_else() {
    let (image, _) = built("node", Arch::here());
    let root = "-rwxr-xr-x 0/0".to_owned();
    let expected = [("manifold".to_owned(), root.clone()), ("manifold-controller".to_owned(), root)];
    assert_eq!(files(&image), BTreeMap::from(expected));
    let config = &image.config["config"];
    assert_eq!(config["Entrypoint"], json!(["/manifold-controller"]));
    assert_eq!(config["User"], "0:0");
    assert_eq!(image.config["os"], "linux");
    assert_eq!(image.config["architecture"], Arch::here().name());
}

#[test]
fn the_controllers_image_holds_one_executable_and_is_not_roots() {
    let (image, _) = built("controller", Arch::here());
    assert_eq!(files(&image).keys().collect::<Vec<_>>(), ["manifold-controller"]);
    let config = &image.config["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/manifold-controller"]));
    assert_eq!(config["Cmd"], json!(["controller"]));
}

/// The chart names the same image where no registry is given, and the executable where the node agent looks for it.
#[test]
fn the_charts_defaults_name_these_images_and_their_files() {
    let (image, _) = built("node", Arch::here());
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(labels["org.opencontainers.image.title"], "manifold-node");
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    assert!(labels["org.opencontainers.image.revision"].is_string());
    let deployed = fs::read_to_string(build::root().join("deploy/manifold.yaml")).unwrap();
    assert!(deployed.contains(&format!("image: {}\n", image.name)), "{}", image.name);
    assert!(deployed.contains(&format!("image: {}\n", reference("controller"))));
    assert!(deployed.contains("source: /manifold\n"));
    let chart = fs::read_to_string(build::root().join("charts/manifold/Chart.yaml")).unwrap();
    assert!(chart.contains(&format!("appVersion: {}\n", env!("CARGO_PKG_VERSION"))));
}

// Shows part of: S-21
#[test]
fn two_builds_are_one_and_another_architecture_is_built_the_same_way() {
    let (first, bytes) = built("controller", Arch::Arm64);
    assert_eq!(first.config["architecture"], "arm64");
    let (second, again) = built("controller", Arch::Arm64);
    assert_eq!(first.config, second.config);
    let digest = |archive: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        fs::write(&path, archive).unwrap();
        tar(&["-xOf", path.to_str().unwrap(), "index.json"])
    };
    assert_eq!(digest(&bytes), digest(&again));
}
