//! Images without a registry: an archive of one layer in the OCI layout, from files of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use super::place::Place;
use crate::janitor::Scratch;
use crate::netns;

/// What pods of the tests run, and what holds a pod's namespaces: a shell with the usual programs.
pub const POD: &str = "docker.io/local/pod:1";
const BUSYBOX: &str = "/bin/busybox";

/// What an image is made of.
#[derive(Debug)]
pub struct Image<'a> {
    /// With registry and tag: `docker.io/local/pod:1`.
    pub name: &'a str,
    pub entrypoint: &'a [&'a str],
    /// From this machine, and where they lie in the image.
    pub files: &'a [(&'a Path, &'a str)],
    /// Where they lie in the image, and to what they lead.
    pub links: &'a [(String, &'a str)],
}

/// Makes the image of the tests' pods.
pub(super) fn make_pod_image(place: &Place) -> anyhow::Result<()> {
    let listed = Command::new(BUSYBOX).arg("--list").output();
    let listed = listed.context("`busybox` cannot be run; install the package `busybox-static`")?;
    let names = netns::said("busybox --list", &listed)?;
    let links: Vec<(String, &str)> = names.lines().map(|name| (format!("bin/{name}"), BUSYBOX)).collect();
    let links: Vec<(String, &str)> = links.into_iter().filter(|(path, _)| path != "bin/busybox").collect();
    Image {
        name: POD,
        // It holds a pod's namespaces, so it does nothing for longer than any test.
        entrypoint: &["/bin/sleep", "1000000000"],
        files: &[(Path::new(BUSYBOX), "bin/busybox")],
        links: &links,
    }
    .write(&folder(place).join("pod.tar"))
}

/// Every archive of the cluster.
pub(super) fn all(place: &Place) -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder(place);
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    found.sort();
    Ok(found)
}

pub(super) fn folder(place: &Place) -> PathBuf {
    place.join("images")
}

impl Image<'_> {
    /// Writes the archive, which `ctr images import` reads.
    pub fn write(&self, archive: &Path) -> anyhow::Result<()> {
        let scratch = Scratch::new("image").context("cannot make a temporary folder")?;
        let layer = self.layer(&scratch)?;
        let layout = scratch.join("layout");
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let layer = blob(&blobs, &layer, "application/vnd.oci.image.layer.v1.tar")?;
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Env": ["PATH=/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer.get("digest")]},
        });
        let config = blob(&blobs, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json")?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
        let mut manifest = blob(&blobs, manifest.to_string().as_bytes(), kind)?;
        if let Some(object) = manifest.as_object_mut() {
            object.insert("annotations".into(), json!({"io.containerd.image.name": self.name}));
            object.insert("platform".into(), json!({"architecture": architecture(), "os": "linux"}));
        }
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(layout.join("index.json"), index.to_string())?;
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if let Some(folder) = archive.parent() {
            fs::create_dir_all(folder)?;
        }
        tar(&layout, archive)
    }

    fn layer(&self, scratch: &Scratch) -> anyhow::Result<Vec<u8>> {
        let root = scratch.join("root");
        for folder in ["tmp", "etc", "proc", "sys", "dev", "var/run"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let place = |inside: &str| -> anyhow::Result<PathBuf> {
            let path = root.join(inside.trim_start_matches('/'));
            fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
            Ok(path)
        };
        for (file, inside) in self.files {
            fs::copy(file, place(inside)?).with_context(|| format!("cannot copy `{}`", file.display()))?;
        }
        for (inside, target) in self.links {
            symlink(target, place(inside)?)?;
        }
        let archive = scratch.join("layer.tar");
        tar(&root, &archive)?;
        fs::read(&archive).context("cannot read the layer")
    }
}

/// As Go names it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Stores what is named by its own hash; returns how others refer to it.
fn blob(folder: &Path, bytes: &[u8], kind: &str) -> anyhow::Result<Value> {
    let unnamed = folder.join("unnamed");
    fs::write(&unnamed, bytes)?;
    // By a program: the library in a test's build takes a minute for an image.
    let said = Command::new("sha256sum").arg(&unnamed).output().context("`sha256sum` cannot be run")?;
    let said = netns::said("sha256sum", &said)?;
    let hash = said.split_whitespace().next().context("`sha256sum` says no hash")?;
    fs::rename(&unnamed, folder.join(hash))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len()}))
}

fn tar(folder: &Path, archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("tar");
    // The same files make the same bytes.
    command.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--create",
        "--file",
    ]);
    command.arg(archive).arg("--directory").arg(folder).arg(".");
    netns::said("tar", &command.output().context("`tar` cannot be run")?).map(drop)
}
