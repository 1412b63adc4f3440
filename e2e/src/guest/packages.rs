//! Fetches the guest's packages and unpacks them; nothing is installed, and the machine's apt keeps its own lists.
//!
//! The mirror is the one that the machine's apt uses for Debian, with whatever proxy is configured for it. Packages
//! are checked against Debian's keys, by apt.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::kit::run;

const SUITE: &str = "bookworm";
/// Where Debian has a kernel 6.12 and a QEMU 10 for it.
const NEWER: &str = "bookworm-backports";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Beside the kernel.
const PACKAGES: [&str; 3] = ["qemu-system-x86", "kmod", "busybox-static"];
/// The generic kernel; the one for clouds lacks 9p.
const KERNEL: &str = "linux-image-amd64";

/// Unpacks into `root` and `kernel` of this folder; returns the kernel's release.
pub(super) fn unpack_into(folder: &Path) -> anyhow::Result<String> {
    let apt = Apt::new(folder)?;
    apt.get(&["update"])?;
    // The machine's own packages count as there, except for those that are named.
    let mut words = vec!["install", "--yes", "--download-only", "--reinstall", "--no-install-recommends"];
    words.extend(["--target-release", NEWER]);
    words.extend(PACKAGES);
    apt.get(&words)?;
    let kernel = apt.kernel()?;
    apt.get(&["download", &kernel])?;
    for package in fs::read_dir(folder.join("apt/packages"))? {
        let package = package?.path();
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".deb") {
            let into = folder.join(if name.starts_with("linux-image-") { "kernel" } else { "root" });
            run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(into))?;
        }
    }
    fs::remove_dir_all(folder.join("apt"))?;
    kernel.strip_prefix("linux-image-").map(str::to_owned).context("the kernel's package has another name")
}

/// An apt with sources, lists and a download folder of its own.
struct Apt {
    options: Vec<String>,
    downloads: std::path::PathBuf,
}

impl Apt {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let own = folder.join("apt");
        for place in ["none", "state/lists/partial", "cache", "packages/partial"] {
            fs::create_dir_all(own.join(place))?;
        }
        let mirror = mirror()?;
        let sources =
            [SUITE, NEWER].map(|suite| format!("deb [signed-by={KEYS}] {mirror} {suite} main\n")).concat();
        fs::write(own.join("sources"), sources)?;
        let at = |place: &str| own.join(place).display().to_string();
        let options = [
            ("Dir::Etc::sourcelist", at("sources")),
            ("Dir::Etc::sourceparts", at("none")),
            ("Dir::Etc::preferences", "/dev/null".into()),
            ("Dir::Etc::preferencesparts", at("none")),
            ("Dir::State", at("state")),
            ("Dir::State::status", "/var/lib/dpkg/status".into()),
            ("Dir::Cache", at("cache")),
            ("Dir::Cache::archives", at("packages")),
            // The user that apt downloads as may not enter the cache.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "3".into()),
        ];
        let options =
            options.into_iter().flat_map(|(key, value)| ["-o".into(), format!("{key}={value}")]).collect();
        Ok(Self { options, downloads: own.join("packages") })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).current_dir(&self.downloads);
        command.envs([("LC_ALL", "C"), ("DEBIAN_FRONTEND", "noninteractive")]);
        command
    }

    fn get(&self, words: &[&str]) -> anyhow::Result<()> {
        run(self.command("apt-get").arg("-qq").args(words)).map(drop)
    }

    /// The package that the kernel's metapackage stands for today.
    fn kernel(&self) -> anyhow::Result<String> {
        let said = run(self.command("apt-cache").args(["depends", &format!("{KERNEL}/{NEWER}")]))?;
        String::from_utf8_lossy(&said)
            .lines()
            .find_map(|line| {
                line.trim().strip_prefix("Depends: ").filter(|name| name.starts_with("linux-image-"))
            })
            .map(str::to_owned)
            .with_context(|| format!("`{KERNEL}` of {NEWER} names no kernel"))
    }
}

/// The mirror of Debian that the machine's apt is configured with.
fn mirror() -> anyhow::Result<String> {
    let said = run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let said = String::from_utf8_lossy(&said);
    match said.lines().find(|line| line.trim_end_matches('/').ends_with("/debian")) {
        Some(mirror) => Ok(mirror.to_owned()),
        None => bail!("apt has no mirror of Debian in its sources; the guest kernel comes from one: add one"),
    }
}
