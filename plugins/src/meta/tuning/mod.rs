//! `tuning`: kernel settings, MAC address, MTU, flags and queue of an interface that is there (PLG-TUNING).
//!
//! What belongs to the interface is restored by DEL, as the interface may outlive the pod; kernel settings end with the
//! pod's namespace.

mod allow_list;
mod backup;
mod ipv6;
mod verify;

use std::path::Path;

use manifold_cni::{Attachment, AttachmentId, CniArgs, CniError, CniResult, Detachment, Input, Plugin};
use manifold_net::{Link, LinkChange, Mac, Net, RouteAdd, RouteFilter, SysctlError, sysctl};
use manifold_plugin_conf::{TuningConf, tuning};

use self::backup::Backup;
use super::chained;
use crate::interface::failure::{Told, told_with_mac};
use crate::interface::masquerade::Key;
use crate::interface::undo::{AfterStep, Undo};
use crate::interface::{sandbox, spoof_check};

/// Where the administrator says which settings may be written.
pub(super) const ALLOW_LIST: &str = "/etc/cni/tuning/allowlist.conf";
const NAME: &str = "tuning";

#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    pub after_step: AfterStep,
    pub allow_list: &'static str,
}

impl Plugin for Tuning {
    fn name(&self) -> &'static str {
        NAME
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let mut result = chained::prev(input, NAME)?.clone();
        let conf = read(input, &at.args)?;
        allow_list::check(Path::new(self.allow_list), &conf.sysctls)?;
        let pod = sandbox::open(&at.netns)?;
        let changed = link_to_change(&conf, &pod, at)?;
        let mut undo = Undo::new(self.after_step);
        let done = apply(&mut undo, input, at, &conf, &pod, changed)
            .and_then(|()| ipv6::switch_on(&mut undo, &conf, at, &pod));
        undo.settle(done)?;
        for told in result.interfaces.iter_mut().filter(|told| told.name == at.ifname.as_str()) {
            if let Some(mac) = conf.mac {
                told.mac = mac.to_string();
            }
            told.mtu = conf.mtu.get().or(told.mtu);
        }
        Ok(result)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        chained::prev(input, NAME)?;
        let conf = read(input, &at.args)?;
        let pod = sandbox::open(&at.netns)?;
        verify::settings(&pod, &conf, at)?;
        match pod.link(at.ifname.as_str()).told()? {
            None if !changes_link(&conf) => Ok(()),
            _ => verify::attributes(&chained::link(&pod, at)?, &conf),
        }
    }

    /// The interface may be gone, or may be on its way out: what cannot be restored is told in the log only.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let Ok(folder) = tuning::data_dir(&input.config) else { return Ok(()) };
        let file = backup::file(Path::new(&folder), at.container.as_str(), at.ifname.as_str());
        if let (Some(saved), Ok(Some(pod))) = (Backup::read(&file)?, sandbox::find(at.netns.as_deref()))
            && let Ok(Some(link)) = pod.link(at.ifname.as_str())
            && let Err(error) = change(&pod, &link, &saved.change())
        {
            tracing::warn!(interface = %at.ifname, %error, "the interface's attributes were not restored");
        }
        backup::remove(&file)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let folder = tuning::data_dir(&input.config).map_err(|problem| problem.into_error(&input.name))?;
        backup::collect(Path::new(&folder), &input.name, keep)
    }
}

fn read(input: &Input, args: &CniArgs) -> Result<TuningConf, CniError> {
    TuningConf::read(&input.config, args).map_err(|problem| problem.into_error(&input.name))
}

/// The interface and what becomes of it, if anything does. Kernel settings alone need none: a device bound to `vfio-pci`
/// has no network interface.
fn link_to_change(
    conf: &TuningConf,
    pod: &Net,
    at: &Attachment,
) -> Result<Option<(Link, LinkChange<'static>)>, CniError> {
    changes_link(conf).then(|| Ok((chained::link(pod, at)?, wanted(conf)))).transpose()
}

fn changes_link(conf: &TuningConf) -> bool {
    wanted(conf) != LinkChange::default()
}

fn apply<'a>(
    undo: &mut Undo<'a>,
    input: &'a Input,
    at: &'a Attachment,
    conf: &TuningConf,
    pod: &'a Net,
    changed: Option<(Link, LinkChange<'static>)>,
) -> Result<(), CniError> {
    let (written, before) = pod.netns().run(|| write_settings(conf, at)).told()?;
    undo.done("kernel settings", move || pod.netns().run(|| write_back(&before)).told()?.told())?;
    written.told()?;
    let Some((link, wanted)) = changed else { return Ok(()) };
    let saved = Backup::of(&link, &wanted, &input.name);
    let file = backup::file(Path::new(&conf.data_dir), at.container.as_str(), at.ifname.as_str());
    let older = saved.write(&file)?;
    undo.done("backup", move || older.put_back(&file))?;
    let before = link.clone();
    let reversal = saved.clone();
    undo.done("interface", move || {
        let reversal = reversal.change();
        let changed = change(pod, &before, &reversal);
        let followed =
            reversal.mac.map_or(Ok(()), |mac| spoof_check::follow(&Key::of(input, at), mac, input.deadline));
        changed.and(followed)
    })?;
    change(pod, &link, &wanted)?;
    if let Some(mac) = wanted.mac {
        spoof_check::follow(&Key::of(input, at), mac, input.deadline)?;
    }
    undo.passed("changed interface")
}

type Setting = (Vec<String>, String);

/// Writes the settings in order, up to the first that is refused; tells what they were before.
fn write_settings(conf: &TuningConf, at: &Attachment) -> (Result<(), SysctlError>, Vec<Setting>) {
    let mut before = Vec::new();
    for setting in &conf.sysctls {
        let pieces = setting.pieces(&at.ifname);
        let named: Vec<&str> = pieces.iter().map(String::as_str).collect();
        // Some can only be written, and then nothing can be put back.
        let was = sysctl::get(&named).ok();
        if let Err(error) = sysctl::set(&named, &setting.value) {
            return (Err(error), before);
        }
        before.extend(was.map(|was| (pieces, was)));
    }
    (Ok(()), before)
}

fn write_back(before: &[Setting]) -> Result<(), SysctlError> {
    before.iter().rev().try_for_each(|(pieces, value)| {
        let named: Vec<&str> = pieces.iter().map(String::as_str).collect();
        sysctl::set(&named, value)
    })
}

fn wanted(conf: &TuningConf) -> LinkChange<'static> {
    LinkChange {
        mac: conf.mac.map(|mac| Mac(mac.octets())),
        promisc: conf.promisc.then_some(true),
        mtu: conf.mtu.get(),
        allmulti: conf.allmulti,
        tx_queue_len: conf.tx_queue_len,
        ..LinkChange::default()
    }
}

/// All at once. Some drivers take no other MAC address while the link is up; then it goes down for a moment, and the
/// routes that the kernel drops with that come back.
fn change(pod: &Net, link: &Link, wanted: &LinkChange<'_>) -> Result<(), CniError> {
    match pod.change(link.index, wanted) {
        Err(error) if error.is_busy() && wanted.mac.is_some() && link.up => {}
        done => return told_with_mac(done, &link.name, wanted.mac),
    }
    let routes = pod.routes(RouteFilter { oif: Some(link.index), ..RouteFilter::default() }).told()?;
    pod.set_down(link.index).told()?;
    let changed = told_with_mac(pod.change(link.index, wanted), &link.name, wanted.mac);
    pod.set_up(link.index).told()?;
    // Each in front of other interfaces' routes to the same destination, where the interface's own plugin put it; in
    // reverse, so that they keep their order, and those with gateways after the routes that lead to these.
    let own = |route: &&manifold_net::Route| route.protocol != Some(manifold_net::route::BY_KERNEL);
    let mut back: Vec<_> = routes.iter().rev().filter(own).collect();
    back.sort_by_key(|route| route.gateway.is_some() || !route.multipath.is_empty());
    for route in back {
        match pod.add_route(route, RouteAdd::First) {
            Err(error) if error.is_exists() => {}
            added => added.told()?,
        }
    }
    changed
}
