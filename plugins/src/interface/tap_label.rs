//! A TAP device under a SELinux context. The kernel labels a device as the process that makes it, and only a new
//! process may take another label; so `ip` makes it (PLG-TAP-2).

use std::fs;
use std::path::Path;
use std::time::Instant;

use manifold_cni::CniError;
use manifold_net::tool::{self, NoEnd};
use manifold_net::{Link, Net, TapSpec};

use super::failure::Told;

/// Without SELinux a context means nothing.
pub(crate) fn in_force() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

pub(crate) fn add(pod: &Net, spec: &TapSpec<'_>, context: &str, deadline: Instant) -> Result<Link, CniError> {
    let made = pod.netns().run(|| labelled(context, || run(&arguments(spec), deadline))).told()?;
    made?;
    let link = pod.link(spec.name).told()?;
    link.ok_or_else(|| CniError::failed(format!("the TAP device `{}` disappeared immediately", spec.name)))
}

fn arguments(spec: &TapSpec<'_>) -> Vec<String> {
    let mut words = vec!["tuntap", "add", "mode", "tap", "name", spec.name, "vnet_hdr"];
    if spec.multi_queue {
        words.push("multi_queue");
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    for (word, id) in [("user", spec.owner), ("group", spec.group)] {
        if let Some(id) = id {
            words.extend([word.to_owned(), id.to_string()]);
        }
    }
    words
}

/// This thread's next program runs under the context; those after it do not.
fn labelled<T>(context: &str, work: impl FnOnce() -> Result<T, CniError>) -> Result<T, CniError> {
    let write = |label: &str| fs::write("/proc/thread-self/attr/exec", label);
    write(context).map_err(|error| {
        CniError::failed(format!(
            "SELinux rejects `selinuxContext` `{context}` ({error}); use one that it knows"
        ))
    })?;
    let done = work();
    // The empty label takes the other one back, in case nothing was started.
    write("").map_err(|error| CniError::failed(format!("the SELinux context cannot be reset ({error})")))?;
    done
}

fn run(arguments: &[String], deadline: Instant) -> Result<(), CniError> {
    let program = tool::find("ip").unwrap_or_else(|| "ip".into());
    let ended = tool::run(&program, arguments, b"", deadline).map_err(|no_end| {
        CniError::failed(match no_end {
            NoEnd::Start(error) | NoEnd::Watch(error) => {
                format!("`ip` cannot be run ({error}); `selinuxContext` needs it")
            }
            NoEnd::Deadline(_) => "`ip` did not create the TAP device in time and was stopped".to_owned(),
        })
    })?;
    let said = String::from_utf8_lossy(&ended.stderr.bytes);
    match ended.status.success() {
        true => Ok(()),
        false => Err(CniError::failed(format!("`ip` did not create the TAP device: {}", said.trim()))),
    }
}
