//! `tap`: the pod gets a TAP device, which a virtual machine in it opens (PLG-TAP).

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, IfName, Input, Ipam, Plugin};
use manifold_net::{Link, LinkChange, Mac, Net, TapSpec};
use manifold_plugin_conf::TapConf;
use manifold_plugin_conf::mac::{Sources, requested};

use super::failure::Told;
use super::record::made::{self, Origin};
use super::settings::Setting;
use super::sole_link::{self, Addresses, Finish};
use super::undo::{AfterStep, Undo};
use super::{sandbox, tap_label, verify, veth_pair};

/// TAP devices are of the kernel's kind `tun`.
const KIND: &str = "tun";
const NOTIFY: &[Setting] = &[("ipv4", "arp_notify", "1")];

#[derive(Clone, Copy, Debug)]
pub struct Tap {
    pub after_step: AfterStep,
}

impl Plugin for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let conf = read(input)?;
        let mac = requested(&input.config, &at.args, Sources::WithConfigKey)
            .map_err(|problem| problem.into_error(&input.name))?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let bridge = conf.bridge.as_ref().map(|name| bridge(&pod, name)).transpose()?;
        let change = LinkChange {
            mac: mac.map(|mac| Mac(mac.octets())),
            mtu: conf.mtu.get(),
            master: bridge.map(|bridge| bridge.index),
            ..LinkChange::default()
        };
        let mut undo = Undo::new(self.after_step);
        let finish = Finish { settings: NOTIFY, announce: false, dns: Some(&conf.dns) };
        let made =
            make(&mut undo, Origin { input, at, host: &host }, &pod, &conf, &change).and_then(|link| {
                sole_link::furnish(&mut undo, input, at, &pod, &link, Addresses::of(ipam.as_ref()), finish)
            });
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        let found = verify::interface(input, at, KIND)?;
        if let Some(name) = &conf.bridge {
            let bridge = found.pod.link(name.as_str()).told()?;
            if bridge.is_none_or(|bridge| found.link.master != Some(bridge.index)) {
                let text = format!("interface `{}` is not a port of bridge `{name}` any more", at.ifname);
                return Err(CniError::check(text));
            }
        }
        found.mtu(conf.mtu)?;
        found.addresses_and_routes()
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        sole_link::del(input, at, KIND)
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        sole_link::status(input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        sole_link::gc(input, keep)
    }
}

fn read(input: &Input) -> Result<TapConf, CniError> {
    TapConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn bridge(pod: &Net, name: &IfName) -> Result<Link, CniError> {
    let found = pod.link(name.as_str()).told()?.filter(|link| link.is_kind("bridge"));
    found.ok_or_else(|| {
        CniError::failed(format!(
            "there is no bridge `{name}` in the container to put the TAP device on; attach it before, or drop `bridge`"
        ))
    })
}

fn make<'a>(
    undo: &mut Undo<'a>,
    origin: Origin<'_>,
    pod: &'a Net,
    conf: &TapConf,
    change: &LinkChange<'_>,
) -> Result<Link, CniError> {
    let at = origin.at;
    let name = at.ifname.as_str();
    let spec = TapSpec { name, multi_queue: conf.multi_queue, owner: conf.owner, group: conf.group };
    if pod.link(name).told()?.is_some() {
        return Err(veth_pair::taken(&at.ifname));
    }
    let new = match conf.selinux_context() {
        Some(context) if tap_label::in_force() => tap_label::add(pod, &spec, context, origin.input.deadline)?,
        _ => pod.add_tap(&spec).told()?,
    };
    let index = new.index;
    made::keep(undo, "TAP device", origin, pod, &new, None)?;
    if *change != LinkChange::default() {
        pod.change(index, change).told()?;
    }
    let link = pod.link_by_index(index).told()?;
    link.ok_or_else(|| CniError::failed(format!("the TAP device `{name}` disappeared immediately")))
}
