//! The Debian packages that the demo, the tests and the benchmark need, installed when a program of theirs is missing.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use manifold_e2e::project;
use nix::fcntl::{Flock, FlockArg};

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
    Need { program: "/usr/bin/podman", package: "podman" },
    Need { program: "/usr/sbin/runc", package: "runc" },
    Need { program: "/bin/busybox", package: "busybox-static" },
];

const IMAGES: &[Need] = &[
    Need { program: "/usr/bin/buildah", package: "buildah" },
    Need { program: "/usr/bin/cc", package: "gcc" },
    Need { program: "/usr/lib/x86_64-linux-gnu/libc.a", package: "libc6-dev" },
];

const RELEASE: &[Need] = &[Need { program: "/usr/bin/ssh-keygen", package: "openssh-client" }];

/// A C compiler for the other architecture, and the emulator that runs what it makes.
const ARM64: &[Need] = &[
    Need { program: "/usr/bin/aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
    Need { program: "/usr/aarch64-linux-gnu/lib/libc.a", package: "libc6-dev-arm64-cross" },
    Need { program: "/usr/bin/qemu-aarch64-static", package: "qemu-user-static" },
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
    install(DEMO.iter().chain(TEST).chain(IMAGES).chain(RELEASE))
}

pub(crate) fn for_images() -> anyhow::Result<()> {
    install(IMAGES.iter())
}

pub(crate) fn for_release() -> anyhow::Result<()> {
    install(RELEASE.iter())
}

pub(crate) fn for_arm64() -> anyhow::Result<()> {
    install(ARM64.iter())
}

pub(crate) fn for_bench() -> anyhow::Result<()> {
    install(DEMO.iter().chain(BENCH))
}

fn install(needs: impl Iterator<Item = &'static Need>) -> anyhow::Result<()> {
    let needs: Vec<&Need> = needs.collect();
    if missing(&needs).is_empty() {
        return Ok(());
    }
    let _one_at_a_time = lock()?;
    // Another process may have installed them meanwhile.
    let missing = missing(&needs);
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

fn missing(needs: &[&Need]) -> Vec<&'static str> {
    needs.iter().filter(|need| !is_there(need.program)).map(|need| need.package).collect()
}

/// `apt-get update` fails where another one runs, and several tests may be the first to need a package.
fn lock() -> anyhow::Result<Flock<File>> {
    let folder = project::cache();
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder `{}`", folder.display()))?;
    let file = File::create(folder.join("packages.lock")).context("cannot open the lock of the packages")?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| std::io::Error::from(errno))
        .context("cannot lock the installation of packages")
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
