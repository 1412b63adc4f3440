//! A kernel that has every link type: runs a command of this machine under Debian's generic kernel, in QEMU.
//!
//! The guest's `/` is the machine's own, read-only, with a tmpfs over it: executables built outside run unchanged, and
//! what they write is gone with the guest. The working folder, the environment that is given, the output and the exit
//! code carry over. The processor is emulated, so that it runs everywhere: starting a process takes ten times as long
//! as outside. Run many tests in one boot.
//!
//! Nothing is installed on the machine ([`kit`]); QEMU ends with this process, and at the deadline ([`machine`]).

mod initramfs;
mod kit;
mod machine;
mod packages;
mod script;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use anyhow::{Context, bail};

pub use kit::{Kit, ensure};

use crate::janitor::Scratch;
use machine::{BOOT_DEADLINE, End};

/// An emulated machine now and then hangs before its first process; a command that began is never run again. Each boot
/// gets longer than the one before, for a machine that is only slow.
const BOOTS: u32 = 3;

/// Runs a command as root of the guest kernel, in this process's working folder, with exactly this environment.
///
/// Fails when the guest does not boot, dies, or has not finished at the deadline; a command that fails is no error.
pub fn run<S: AsRef<OsStr>>(
    command: &[S],
    env: impl IntoIterator<Item = (OsString, OsString)>,
    deadline: Duration,
) -> anyhow::Result<Output> {
    let kit = ensure(&mut |_| {})?;
    let folder = std::env::current_dir().context("there is no working folder")?;
    let command: Vec<&OsStr> = command.iter().map(AsRef::as_ref).collect();
    let script = script::command(&folder, env, &command);
    for boot in 1.. {
        let job = Scratch::new("guest").context("cannot make a temporary folder")?;
        fs::write(job.join("settings"), script::settings(&kit, job.path()))?;
        fs::write(job.join("command"), &script)?;
        match machine::boot(&kit, job.path(), BOOT_DEADLINE * boot, deadline)? {
            End::Finished => return output(job.path()),
            End::NoBoot if boot < BOOTS => {}
            End::NoBoot => bail!("the guest kernel did not boot:\n{}", machine::last_words(job.path())),
            End::Died => bail!("the guest kernel died:\n{}", machine::last_words(job.path())),
            End::Deadline => bail!(
                "the guest was ended, its command had not finished within {} s:\n{}",
                deadline.as_secs(),
                machine::last_words(job.path())
            ),
        }
    }
    unreachable!("the last boot returns")
}

fn output(job: &Path) -> anyhow::Result<Output> {
    let read = |name: &str| fs::read(job.join(name)).with_context(|| format!("the guest left no `{name}`"));
    let code = String::from_utf8_lossy(&read("code")?)
        .trim()
        .parse::<i32>()
        .context("the exit code is not a number")?;
    // As `wait` tells it: the exit code is the second byte.
    Ok(Output { status: ExitStatus::from_raw(code << 8), stdout: read("stdout")?, stderr: read("stderr")? })
}
