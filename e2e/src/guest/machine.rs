//! The emulated machine: how it is started, when it is ended, and what it said last.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::kit::Kit;
use crate::child::spawn_for_life;

/// From start to the command; some 5 s where nothing else runs.
pub(super) const BOOT_DEADLINE: Duration = Duration::from_secs(120);
/// It is taken when it is used.
const MEMORY: &str = "2G";
const KERNEL_WORDS: &str = "console=ttyS0 panic=-1 quiet nokaslr mitigations=off cryptomgr.notests=1 \
     intel_iommu=on iommu=pt";
/// How much of each text an error repeats.
const LAST_LINES: usize = 25;

/// How a boot ended.
pub(super) enum End {
    Finished,
    NoBoot,
    Died,
    Deadline,
}

/// Boots, and waits until the machine has switched itself off; QEMU does not outlive this call. The deadline counts
/// from the command's start.
pub(super) fn boot(
    kit: &Kit,
    job: &Path,
    boot_deadline: Duration,
    deadline: Duration,
) -> anyhow::Result<End> {
    let mut qemu = start(kit, job)?;
    let there = |name: &str| job.join(name).exists();
    let (mut since, mut limit) = (Instant::now(), boot_deadline);
    let mut booting = true;
    let late = loop {
        if qemu.try_wait().context("cannot wait for QEMU")?.is_some() {
            break false;
        }
        if booting && there("started") {
            (booting, since, limit) = (false, Instant::now(), deadline);
        }
        if since.elapsed() > limit {
            // It may have ended just now, and then both find nothing to do.
            let _ = qemu.kill();
            let _ = qemu.wait();
            break true;
        }
        thread::sleep(Duration::from_millis(50));
    };
    Ok(match (there("code"), there("started"), late) {
        (true, ..) => End::Finished,
        (_, false, _) => End::NoBoot,
        (_, true, true) => End::Deadline,
        (_, true, false) => End::Died,
    })
}

fn start(kit: &Kit, job: &Path) -> anyhow::Result<Child> {
    let root = kit.root();
    let program = root.join("usr/bin/qemu-system-x86_64");
    let mut qemu = Command::new(&program);
    // The guest's processor is emulated: not every machine lets its guests have guests.
    qemu.args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY]);
    qemu.args(["-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"]);
    for folder in ["usr/share/qemu", "usr/share/seabios"] {
        // In the second when the machine has the package installed.
        qemu.arg("-L").arg(root.join(folder)).arg("-L").arg(Path::new("/").join(folder));
    }
    qemu.arg("-kernel").arg(kit.kernel()).arg("-initrd").arg(kit.initramfs()).args(["-append", KERNEL_WORDS]);
    qemu.arg("-serial").arg(format!("file:{}", comma(&job.join("console"))));
    network_card(&mut qemu);
    share(&mut qemu, "machine", Path::new("/"), ",readonly=on,multidevs=remap");
    share(&mut qemu, "job", job, "");
    let errors = File::create(job.join("qemu")).context("cannot write QEMU's messages")?;
    qemu.env("LD_LIBRARY_PATH", kit.libraries()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    spawn_for_life(qemu).with_context(|| format!("`{}` cannot be run", program.display()))
}

/// A card with virtual functions, on no wire, and the unit without which none can be given to a program. The card's
/// driver is loaded by whoever wants it.
fn network_card(qemu: &mut Command) {
    qemu.args(["-device", "intel-iommu,intremap=off,caching-mode=on"]);
    qemu.args([
        "-device",
        "pcie-root-port,id=rootport,chassis=1,slot=1",
        "-netdev",
        "hubport,id=card,hubid=0",
    ]);
    qemu.args(["-device", "igb,bus=rootport,netdev=card,romfile=,mac=02:00:00:00:01:01"]);
}

fn share(qemu: &mut Command, name: &str, folder: &Path, options: &str) {
    let device = format!("virtio-9p-pci,fsdev={name},mount_tag={name}");
    let folder = comma(folder);
    qemu.arg("-fsdev").arg(format!("local,id={name},path={folder},security_model=none{options}"));
    qemu.arg("-device").arg(device);
}

/// QEMU takes a doubled comma for one that separates nothing.
fn comma(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The ends of everything that was written down.
pub(super) fn last_words(job: &Path) -> String {
    let mut text = String::new();
    for name in ["stdout", "stderr", "console", "qemu"] {
        let said = fs::read(job.join(name)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
            text.push_str(&format!("{name}: {line}\n"));
        }
    }
    text
}
