//! DEL of a sandbox that has no entry: attached before we were installed, by Multus, or by nobody.

use manifold_cni::{CniError, Detachment};

use crate::chain::{Chain, Setting};
use crate::default_network::{self, Asker};
use crate::shim::Shim;
use crate::{takeover, undo};
use manifold_ledger::{Exact, Recorded};

/// A state file that Multus left says what it attached. Without one the default network's DEL runs all the same: a pod
/// older than our install has its address there (F-POD-7). Whatever was never made is success.
pub fn del(shim: &Shim, at: &Detachment) -> Result<(), CniError> {
    let setting = Setting {
        container: &at.container,
        folders: &shim.folders,
        deadline: shim.add_deadline(),
        each: shim.config.limits.delegate,
        held: None,
    };
    // The namespace that the runtime names may be gone.
    let netns = at.netns.as_deref().filter(|path| path.exists());
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
    let Some(mut default) = default_network::on_disk(shim, &asker)? else { return Ok(()) };
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
