//! DEL of a sandbox that has no entry: attached before we were installed, by Multus, or by nobody.

use std::time::Instant;

use manifold_cni::{CniError, Detachment};

use crate::chain::{Chain, Setting};
use crate::default_network::{self, Asker};
use crate::shim::Shim;
use crate::{takeover, undo};
use manifold_ledger::{Exact, Ledger, Recorded, SandboxLock};

/// A state file that Multus left says what it attached. Without one the default network's DEL runs all the same: a pod
/// older than our install has its address there (F-POD-7). Whatever was never made is success.
pub fn del(shim: &Shim, at: &Detachment, lock: Option<&SandboxLock>) -> Result<(), CniError> {
    let ledger = Ledger::open_existing(&shim.config.state_dir)?;
    let setting = Setting {
        container: &at.container,
        folders: &shim.folders,
        // Not what is left since the call began: DEL may have waited for a lock.
        deadline: Instant::now() + shim.config.limits.add,
        each: shim.config.limits.delegate,
        held: lock.and_then(undo::held),
        ledger: ledger.as_ref(),
    };
    if let Some(path) = &at.netns {
        // No entry tells which namespace it was: in our own, a link of the node would be taken for the pod's (CNI-ENV-9).
        manifold_cni::netns::refuse_own(path, shim.netns_override.as_deref())?;
    }
    // The namespace that the runtime names may be gone.
    let netns = at.netns.as_deref().filter(|path| path.try_exists().unwrap_or(true));
    if let Some(left) = takeover::of(shim, at)? {
        let down = |a: &Result<Recorded, CniError>| match a {
            Ok(recorded) => take_down(recorded, &setting, netns).err(),
            Err(e) => Some(e.clone()),
        };
        return match undo::all_of(left.attachments.iter().rev().filter_map(down)) {
            Some(error) => Err(error),
            None => left.forget(),
        };
    }
    let asker = Asker { container: at.container.clone(), ifname: at.ifname.clone(), args: at.args.clone() };
    let mut default = match default_network::on_disk(shim, &asker) {
        Ok(Some(default)) => default,
        Ok(None) => return Ok(()),
        // The primary CNI is being replaced, or never came. No entry says that anything was attached, and there is none
        // that could be parked: an error would keep the pod in Terminating for ever.
        Err(error) if default_network::is_gone(&shim.config) => {
            tracing::warn!(container = %at.container, "nothing is recorded and the default network is gone, so nothing is taken down: {error}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    default.result = shim.config.prev_result().map(Exact::from);
    take_down(&default, &setting, netns)
}

fn take_down(
    attachment: &Recorded,
    setting: &Setting<'_>,
    netns: Option<&std::path::Path>,
) -> Result<(), CniError> {
    let done = Chain::of(attachment, setting)?.del(netns);
    undo::forget_device_file(attachment.device_info_file.as_deref());
    done
}

#[cfg(test)]
mod tests {
    use manifold_cni::{CniArgs, code};

    use super::*;
    use crate::sample;

    /// DEL of a sandbox that nobody attached, with this default network.
    fn del_with(state: &std::path::Path, default: &str) -> Result<(), CniError> {
        let entry = format!(
            r#"{{"cniVersion":"1.1.0","name":"m","stateDir":"{0}","cniDir":"{0}/multus","confDir":"{0}/conf","clusterNetwork":"{default}"}}"#,
            state.display()
        );
        let mut shim = sample::shim(state);
        shim.config = crate::config::Config::parse(entry.as_bytes()).unwrap();
        let at = Detachment {
            container: "c1".parse().unwrap(),
            netns: None,
            ifname: "eth0".parse().unwrap(),
            args: CniArgs::default(),
        };
        del(&shim, &at, None)
    }

    // Proves: COMPAT-25
    #[test]
    fn a_default_network_that_is_gone_leaves_nothing_to_do_and_a_wrong_one_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        let path = |name: &str| state.path().join(name).display().to_string();
        std::fs::create_dir(state.path().join("empty")).unwrap();
        std::fs::write(path("wrong.conflist"), "{").unwrap();
        std::fs::create_dir(state.path().join("conf")).unwrap();
        std::fs::write(
            path("conf/1.conf"),
            r#"{"cniVersion":"1.0.0","name":"there","type":"not-installed"}"#,
        )
        .unwrap();
        for gone in [
            path("gone.conflist"),
            path("gone/below"),
            path("wrong.conflist/below"),
            path("empty"),
            "nowhere".into(),
        ] {
            assert_eq!(del_with(state.path(), &gone), Ok(()), "{gone}");
        }
        for wrong in [path("wrong.conflist"), "there".into()] {
            del_with(state.path(), &wrong).expect_err(&wrong);
        }
    }

    // Shows part of: CNI-ENV-9, S-18
    #[test]
    fn nothing_is_taken_for_the_pods_in_our_own_namespace() {
        let state = tempfile::tempdir().unwrap();
        let mut shim = sample::shim(state.path());
        let mut at = Detachment {
            container: "c1".parse().unwrap(),
            netns: Some("/proc/self/ns/net".into()),
            ifname: "not-there".parse().unwrap(),
            args: CniArgs::default(),
        };
        assert_eq!(del(&shim, &at, None).unwrap_err().code, code::INVALID_NETNS);
        at.netns = Some("/run/netns/not-there".into());
        del(&shim, &at, None).unwrap();
        shim.netns_override = Some("1".into());
        at.netns = None;
        del(&shim, &at, None).unwrap();
    }
}
