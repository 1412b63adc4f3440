//! What a guest needs, and how it comes into the cache: QEMU, a kernel with its modules, `kmod`, an initramfs.
//!
//! Made once (about 100 MB from the mirror that the machine already uses, some 15 s), then found by the hash of
//! everything here that decides its bytes. Two processes never make it at once.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::{initramfs, packages};
use crate::project;

/// What decides the bytes of the kit: how it is made, and what goes in.
const RECIPE: [&[u8]; 4] = [
    include_bytes!("kit.rs"),
    include_bytes!("packages.rs"),
    include_bytes!("initramfs.rs"),
    initramfs::INIT.as_bytes(),
];

/// A complete kit in the cache.
#[derive(Clone, Debug)]
pub struct Kit {
    folder: PathBuf,
    release: String,
}

impl Kit {
    pub(super) fn new(folder: &Path, release: &str) -> Self {
        Self { folder: folder.to_path_buf(), release: release.to_owned() }
    }

    /// The kernel's release, as `uname -r` says it in the guest.
    pub fn release(&self) -> &str {
        &self.release
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("kernel/boot").join(format!("vmlinuz-{}", self.release))
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("kernel/lib/modules").join(&self.release)
    }

    pub(super) fn initramfs(&self) -> PathBuf {
        self.folder.join("initramfs")
    }

    /// The unpacked packages: a root folder that lacks what the machine has installed.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The folder of links by which `kmod` knows what it is asked to do.
    pub(super) fn kmod(&self) -> PathBuf {
        self.folder.join("kmod")
    }

    pub(super) fn busybox(&self) -> anyhow::Result<PathBuf> {
        self.program("busybox")
    }

    fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        ["bin", "usr/bin"]
            .map(|folder| self.root().join(folder).join(name))
            .into_iter()
            .find(|path| path.is_file())
            .with_context(|| format!("no package of the guest has a program `{name}`"))
    }

    /// For the loader: a package's libraries come before the machine's.
    pub(super) fn libraries(&self) -> String {
        ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
            .map(|folder| self.root().join(folder).display().to_string())
            .join(":")
    }
}

/// The kit; made first where the cache lacks it. `progress` hears one line per step.
pub fn ensure(progress: &mut dyn FnMut(&str)) -> anyhow::Result<Kit> {
    let folder = project::cache().join("guest");
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder `{}`", folder.display()))?;
    // The guest resolves these paths from another root, where a link would lead astray.
    let folder = folder.canonicalize()?;
    let whole = folder.join(hash());
    if !whole.is_dir() {
        let lock = File::create(folder.join("lock")).context("cannot open the lock of the guest's cache")?;
        let _one_maker = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, errno)| std::io::Error::from(errno))
            .context("cannot lock the guest's cache")?;
        if !whole.is_dir() {
            make(&whole, progress).context("the guest kernel cannot be prepared")?;
        }
    }
    let release =
        fs::read_to_string(whole.join("release")).context("the guest's cache is damaged: remove it")?;
    Ok(Kit::new(&whole, &release))
}

fn hash() -> String {
    let mut hash = Sha256::new();
    for part in RECIPE {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Only a whole kit ever has the final name.
fn make(whole: &Path, progress: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let unfinished = whole.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).context("cannot remove an unfinished kit")?;
    }
    fs::create_dir_all(&unfinished)?;
    progress("fetching QEMU and a kernel");
    let release = packages::unpack_into(&unfinished)?;
    let kit = Kit::new(&unfinished, &release);
    progress("preparing the kernel's modules");
    link_kmod(&kit)?;
    let base = unfinished.join("kernel");
    let mut depmod = Command::new(kit.program("kmod")?);
    depmod.arg0("depmod").env("LD_LIBRARY_PATH", kit.libraries());
    run(depmod.arg("-b").arg(&base).arg(&release))?;
    initramfs::write(&kit)?;
    fs::write(unfinished.join("release"), &release)?;
    fs::rename(&unfinished, whole).context("cannot put the kit in place")
}

fn link_kmod(kit: &Kit) -> anyhow::Result<()> {
    fs::create_dir(kit.kmod())?;
    let program = kit.program("kmod")?;
    // Relative, since the folder is renamed.
    let inside = program.strip_prefix(kit.folder()).context("the program lies in the kit")?;
    symlink(Path::new("..").join(inside), kit.kmod().join("modprobe")).context("cannot link `modprobe`")
}

/// Runs a tool to its end and returns what it printed.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| format!("`{name}` cannot be run"))?;
    if !out.status.success() {
        let words: Vec<&OsStr> = command.get_args().collect();
        bail!("`{name}` with {words:?} ended with {}:\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok(out.stdout)
}
