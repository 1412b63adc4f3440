//! A TAP device under a SELinux context. The kernel labels a device as the process that makes it, and only a new
//! process may take another label; so `ip` makes it (PLG-TAP-2).

use std::fs;
use std::path::Path;
use std::process::Command;

use manifold_cni::CniError;
use manifold_net::{Link, Net, TapSpec, tool};

use super::failure::Told;

/// Without SELinux a context means nothing.
pub(crate) fn in_force() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

pub(crate) fn add(pod: &Net, spec: &TapSpec<'_>, context: &str) -> Result<Link, CniError> {
    let made = pod.netns().run(|| labelled(context, || run(&mut command(spec)))).told()?;
    made?;
    let link = pod.link(spec.name).told()?;
    link.ok_or_else(|| CniError::failed(format!("the TAP device `{}` vanished at once", spec.name)))
}

fn command(spec: &TapSpec<'_>) -> Command {
    let mut command = Command::new(tool::find("ip").unwrap_or_else(|| "ip".into()));
    command.env_clear().env("PATH", tool::search_path());
    command.args(["tuntap", "add", "mode", "tap", "name", spec.name, "vnet_hdr"]);
    if spec.multi_queue {
        command.arg("multi_queue");
    }
    for (word, id) in [("user", spec.owner), ("group", spec.group)] {
        if let Some(id) = id {
            command.args([word, &id.to_string()]);
        }
    }
    command
}

/// This thread's next program runs under the context; those after it do not.
fn labelled<T>(context: &str, work: impl FnOnce() -> Result<T, CniError>) -> Result<T, CniError> {
    let write = |label: &str| fs::write("/proc/thread-self/attr/exec", label);
    write(context).map_err(|error| {
        CniError::failed(format!(
            "SELinux does not take `selinuxContext` `{context}` ({error}); give one it knows"
        ))
    })?;
    let done = work();
    // The empty label takes the other one back, in case nothing was started.
    write("")
        .map_err(|error| CniError::failed(format!("the SELinux context cannot be taken back ({error})")))?;
    done
}

fn run(command: &mut Command) -> Result<(), CniError> {
    let output = command.output().map_err(|error| {
        CniError::failed(format!("`ip` cannot be run ({error}); `selinuxContext` needs it"))
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(CniError::failed(format!("`ip` did not make the TAP device: {}", said.trim()))),
    }
}
