//! The Debian packages that the demo, the tests and the benchmark need, installed when a program of theirs is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::progress;

/// A program that must be there, and the package that brings it.
struct Need {
    program: &'static str,
    package: &'static str,
}

const DEMO: &[Need] = &[
    Need { program: "/usr/sbin/nft", package: "nftables" },
    Need { program: "/usr/sbin/ip", package: "iproute2" },
    Need { program: "/usr/bin/ping", package: "iputils-ping" },
    Need { program: "/usr/bin/cc", package: "gcc" },
    Need { program: "/usr/lib/x86_64-linux-gnu/libc.a", package: "libc6-dev" },
];

const TEST: &[Need] = &[
    Need { program: "/usr/lib/cni/host-local", package: "containernetworking-plugins" },
    Need { program: "/usr/sbin/iptables", package: "iptables" },
    Need { program: "/usr/bin/strace", package: "strace" },
    Need { program: "/usr/sbin/dnsmasq", package: "dnsmasq-base" },
    Need { program: "/usr/bin/python3", package: "python3" },
];

const IMAGES: &[Need] = &[
    Need { program: "/usr/bin/buildah", package: "buildah" },
    Need { program: "/usr/bin/cc", package: "gcc" },
    Need { program: "/usr/lib/x86_64-linux-gnu/libc.a", package: "libc6-dev" },
];

const BENCH: &[Need] = &[
    Need { program: "/usr/bin/python3", package: "python3" },
    Need { program: "/usr/lib/cni/host-local", package: "containernetworking-plugins" },
];

const CLUSTER: &[Need] = &[
    Need { program: "/usr/bin/containerd", package: "containerd" },
    Need { program: "/usr/sbin/runc", package: "runc" },
    Need { program: "/bin/busybox", package: "busybox-static" },
    Need { program: "/usr/sbin/conntrack", package: "conntrack" },
    Need { program: "/usr/lib/cni/host-local", package: "containernetworking-plugins" },
    Need { program: "/usr/sbin/dnsmasq", package: "dnsmasq-base" },
];

pub(crate) fn for_cluster() -> anyhow::Result<()> {
    install(DEMO.iter().chain(CLUSTER))
}

pub(crate) fn for_demo() -> anyhow::Result<()> {
    install(DEMO.iter())
}

pub(crate) fn for_test() -> anyhow::Result<()> {
    install(DEMO.iter().chain(TEST).chain(IMAGES))
}

pub(crate) fn for_images() -> anyhow::Result<()> {
    install(IMAGES.iter())
}

pub(crate) fn for_bench() -> anyhow::Result<()> {
    install(DEMO.iter().chain(BENCH))
}

fn install<'a>(needs: impl Iterator<Item = &'a Need>) -> anyhow::Result<()> {
    let missing: Vec<&str> = needs.filter(|n| !is_there(n.program)).map(|n| n.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress::step(&format!("installing {}", missing.join(", ")), || {
        apt(&["update"])?;
        let mut words = vec!["install", "--yes", "--no-install-recommends"];
        words.extend(&missing);
        apt(&words)
    })
}

/// At its place on Debian, or anywhere on the PATH: other systems have other places.
fn is_there(program: &str) -> bool {
    let program = Path::new(program);
    let Some(name) = program.file_name() else { return false };
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.exists() || std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}

fn apt(words: &[&str]) -> anyhow::Result<()> {
    let out = Command::new("apt-get")
        .arg("-qq")
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("`apt-get` cannot be run; on a system that is not Debian install the packages by hand")?;
    if !out.status.success() {
        bail!("`apt-get {}` failed:\n{}", words.join(" "), String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}
