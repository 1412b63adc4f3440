//! `vlan`: the pod gets one VLAN of a link as a link of its own (PLG-VLAN).

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Ipam, Plugin};
use manifold_net::{Link, Net, NewLink};
use manifold_plugin_conf::VlanConf;

use super::announce::AFTER_DETECTION;
use super::failure::Told;
use super::record::made::{self, Origin};
use super::sole_link::{self, Addresses, Finish};
use super::undo::{AfterStep, Undo};
use super::{master, sandbox, verify, veth_pair};

const KIND: &str = "vlan";

#[derive(Clone, Copy, Debug)]
pub struct Vlan {
    pub after_step: AfterStep,
}

impl Plugin for Vlan {
    fn name(&self) -> &'static str {
        "vlan"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let home = if conf.link_in_container { &pod } else { &host };
        let master = master::find(home, Some(&conf.master))?;
        master::check_mtu(conf.mtu.get(), &master)?;
        if !master.up {
            let text = format!("the master `{}` is down, so no VLAN on it can be up; set it up", master.name);
            return Err(CniError::failed(text));
        }
        let mut undo = Undo::new(self.after_step);
        let finish = Finish { settings: &[AFTER_DETECTION], announce: true, dns: Some(&conf.dns) };
        let made =
            make(&mut undo, Origin { input, at, host: &host }, home, &pod, &conf, &master).and_then(|link| {
                sole_link::furnish(&mut undo, input, at, &pod, &link, Addresses::of(ipam.as_ref()), finish)
            });
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        let found = verify::interface(input, at, KIND)?;
        let host = Net::here().told()?;
        let home = if conf.link_in_container { &found.pod } else { &host };
        master::check(home, Some(&conf.master), &found.link)?;
        if found.link.vlan_id != Some(conf.vlan_id) {
            let text = format!("interface `{}` is not in VLAN {} any more", at.ifname, conf.vlan_id);
            return Err(CniError::check(text));
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

fn read(input: &Input) -> Result<VlanConf, CniError> {
    VlanConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn make<'a>(
    undo: &mut Undo<'a>,
    origin: Origin<'_>,
    home: &Net,
    pod: &'a Net,
    conf: &VlanConf,
    master: &Link,
) -> Result<Link, CniError> {
    let at = origin.at;
    let new =
        NewLink { name: at.ifname.as_str(), mtu: conf.mtu.get(), target: Some(pod), ..NewLink::default() };
    let link = match home.add_vlan(&new, master.index, conf.vlan_id) {
        Err(error) if error.is_exists() => return Err(exists(pod, at, conf)?),
        made => made.told().map_err(|error| error.context(&format!("master `{}`", master.name)))?,
    };
    made::keep(undo, "VLAN", origin, pod, &link, None)?;
    Ok(link)
}

/// The kernel has one word for two reasons.
fn exists(pod: &Net, at: &Attachment, conf: &VlanConf) -> Result<CniError, CniError> {
    if pod.link(at.ifname.as_str()).told()?.is_some() {
        return Ok(veth_pair::taken(&at.ifname));
    }
    Ok(CniError::failed(format!(
        "VLAN {} of the master `{}` is in use already, and a link has each VLAN only once; take another `vlanId` or \
         `master`, or put a macvlan on a link of that VLAN to share it",
        conf.vlan_id, conf.master
    )))
}
