//! The guest's first file system: one shell, `e2e/guest/init`, and the modules it needs to reach the machine's `/`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::kit::{Kit, run};

pub(super) const INIT: &str = include_str!("../../guest/init");
/// Everything else is loaded from the machine's `/`, when the kernel asks.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
/// The places where `init` mounts.
const FOLDERS: [&str; 9] = ["bin", "dev", "job", "machine", "modules", "proc", "root", "sys", "writes"];

pub(super) fn write(kit: &Kit) -> anyhow::Result<()> {
    let stage = kit.folder().join("stage");
    for folder in FOLDERS {
        fs::create_dir_all(stage.join(folder))?;
    }
    let busybox = kit.busybox()?;
    fs::copy(&busybox, stage.join("bin/busybox"))?;
    fs::write(stage.join("init"), INIT)?;
    fs::set_permissions(stage.join("init"), fs::Permissions::from_mode(0o755))?;
    let list = |name: &str| {
        let path = kit.modules().join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
    };
    let (dependencies, builtin) = (list("modules.dep")?, list("modules.builtin")?);
    for (number, module) in load_order(&dependencies, &builtin, &MODULES)?.into_iter().enumerate() {
        let to = stage.join("modules").join(format!("{number:02}-{}.ko", stem(module)));
        fs::write(to, unpacked(&busybox, &kit.modules().join(module))?)?;
    }
    pack(&busybox, &stage, &kit.initramfs())?;
    fs::remove_dir_all(stage).context("cannot remove the initramfs's stage")
}

/// The modules with all they depend on, each once, after what it depends on.
fn load_order<'a>(dependencies: &'a str, builtin: &str, wanted: &[&str]) -> anyhow::Result<Vec<&'a str>> {
    let mut order = Vec::new();
    for name in wanted {
        let line = dependencies
            .lines()
            .find_map(|line| line.split_once(':').filter(|(path, _)| stem(path) == *name));
        match line {
            // The kernel's list names the deepest dependency last.
            Some((path, needs)) => order.extend(needs.split_whitespace().rev().chain([path])),
            None if builtin.lines().any(|path| stem(path) == *name) => {}
            None => bail!("the guest's kernel has no module `{name}`"),
        }
    }
    let mut seen = std::collections::HashSet::new();
    order.retain(|path| seen.insert(*path));
    Ok(order)
}

/// `overlay` of `kernel/fs/overlayfs/overlay.ko.xz`.
fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file)
}

/// `insmod` of busybox takes no compressed module.
fn unpacked(busybox: &Path, module: &Path) -> anyhow::Result<Vec<u8>> {
    if module.extension().is_some_and(|end| end == "xz") {
        run(Command::new(busybox).args(["unxz", "-c"]).arg(module))
    } else {
        fs::read(module).with_context(|| format!("cannot read `{}`", module.display()))
    }
}

fn pack(busybox: &Path, stage: &Path, to: &Path) -> anyhow::Result<()> {
    let archive = File::create(to).with_context(|| format!("cannot write `{}`", to.display()))?;
    let script = r#""$0" find . | "$0" cpio -o -H newc"#;
    let mut pack = Command::new(busybox);
    pack.args(["sh", "-c", script]).arg(busybox).current_dir(stage).stdout(archive).stderr(Stdio::null());
    let status = pack.status().context("busybox cannot be run")?;
    if !status.success() {
        bail!("packing the initramfs ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_loaded_once_and_after_what_it_needs() {
        let dependencies =
            "fs/9p.ko.xz: net/9pnet.ko.xz fs/netfs.ko.xz\nnet/9pv.ko.xz: net/9pnet.ko.xz fs/netfs.ko.xz\n";
        let order = load_order(dependencies, "drivers/pci.ko\n", &["pci", "9pv", "9p"]).unwrap();
        assert_eq!(order, ["fs/netfs.ko.xz", "net/9pnet.ko.xz", "net/9pv.ko.xz", "fs/9p.ko.xz"]);
    }

    #[test]
    fn a_module_that_the_kernel_lacks_is_named() {
        let error = load_order("fs/9p.ko.xz:\n", "", &["overlay"]).unwrap_err().to_string();
        assert!(error.contains("`overlay`"), "{error}");
    }
}
