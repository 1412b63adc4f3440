//! `ipvlan`: the pod gets a link of its own that shares its master's MAC address (PLG-IPVLAN).
//!
//! Since the MAC address is the master's, a DHCP server can tell pods apart by their client id only, and the master
//! cannot carry macvlan links at the same time.

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, IfName, Input, Interface, Ipam, Plugin,
};
use manifold_net::{Link, Net, NewLink};
use manifold_plugin_conf::{IpvlanConf, IpvlanFlag, IpvlanMode};

use super::failure::Told;
use super::record::made::{self, Origin};
use super::sole_link::{self, Addresses, Finish, NOTIFY};
use super::undo::{AfterStep, Undo};
use super::{master, sandbox, verify, veth_pair};

const KIND: &str = "ipvlan";
/// As `master`: IPAM names it.
const BY_IPAM: &str = "ipam";

#[derive(Clone, Copy, Debug)]
pub struct Ipvlan {
    pub after_step: AfterStep,
}

impl Plugin for Ipvlan {
    fn name(&self) -> &'static str {
        "ipvlan"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let given = input.prev_result.as_ref().filter(|prev| !prev.ips.is_empty());
        if ipam.is_none() && given.is_none() {
            let text =
                "ipvlan needs an `ipam` with a `type`, or the addresses of a plugin before it in the chain";
            return Err(CniError::config(format!("network `{}`: {text}; add one", input.name)));
        }
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let home = if conf.link_in_container { &pod } else { &host };
        let mut undo = Undo::new(self.after_step);
        let made = attach(&mut undo, input, at, &conf, [&host, home, &pod], ipam.as_ref());
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        let found = verify::interface(input, at, KIND)?;
        let host = Net::here().told()?;
        let home = if conf.link_in_container { &found.pod } else { &host };
        // What IPAM named is not told in the configuration, only that there is one.
        let by_ipam = |name: &&IfName| name.as_str() == BY_IPAM && !matches!(home.link(BY_IPAM), Ok(Some(_)));
        master::check(home, conf.master.as_ref().filter(|name| !by_ipam(name)), &found.link)?;
        let (mode, flag) = (mode(conf.mode), flag(conf.flag));
        if found.link.ipvlan_mode != Some(mode) || found.link.ipvlan_flag != Some(flag) {
            let text =
                format!("interface `{}` is not in mode `{mode:?}` with flag `{flag:?}` any more", at.ifname);
            return Err(CniError::check(text.to_lowercase()));
        }
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

fn read(input: &Input) -> Result<IpvlanConf, CniError> {
    IpvlanConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn attach<'a>(
    undo: &mut Undo<'a>,
    input: &Input,
    at: &'a Attachment,
    conf: &IpvlanConf,
    [host, home, pod]: [&'a Net; 3],
    ipam: Option<&Ipam<'a>>,
) -> Result<CniResult, CniError> {
    let origin = Origin { input, at, host };
    let finish = Finish { settings: NOTIFY, announce: false, dns: Some(&conf.dns) };
    if let (Some(name), Some(ipam)) = (conf.master.as_ref().filter(|name| name.as_str() == BY_IPAM), ipam)
        && home.link(name.as_str()).told()?.is_none()
    {
        let (result, named) = sole_link::lease_naming_links(undo, ipam, at)?;
        let master = master::find(home, Some(&named_by_ipam(&named)?))?;
        let link = make(undo, origin, home, pod, conf, &master)?;
        return sole_link::furnish(undo, input, at, pod, &link, Addresses::Given(result), finish);
    }
    let by_chain = match (&conf.master, &input.prev_result) {
        (None, Some(prev)) => Some(of_chain(&prev.interfaces)?),
        _ => None,
    };
    let master = master::find(home, conf.master.as_ref().or(by_chain.as_ref()))?;
    let link = make(undo, origin, home, pod, conf, &master)?;
    let addresses = match (ipam, &input.prev_result) {
        (None, Some(prev)) => Addresses::Given(prev.clone()),
        (ipam, _) => Addresses::of(ipam),
    };
    sole_link::furnish(undo, input, at, pod, &link, addresses, finish)
}

/// In a chain without `master`, the one interface so far is meant.
fn of_chain(interfaces: &[Interface]) -> Result<IfName, CniError> {
    only_name(interfaces).ok_or_else(|| {
        CniError::failed(format!(
            "`master` is not given, and `prevResult` has {} interfaces to take it from where one with a name is \
             needed; name the chained master",
            interfaces.len()
        ))
    })
}

fn named_by_ipam(interfaces: &[Interface]) -> Result<IfName, CniError> {
    only_name(interfaces).ok_or_else(|| {
        CniError::failed(
            "`master` is `ipam`, but IPAM did not name exactly one interface to be the master; name it in `master`",
        )
    })
}

fn only_name(interfaces: &[Interface]) -> Option<IfName> {
    let [only] = interfaces else { return None };
    only.name.parse().ok()
}

fn make<'a>(
    undo: &mut Undo<'a>,
    origin: Origin<'_>,
    home: &Net,
    pod: &'a Net,
    conf: &IpvlanConf,
    master: &Link,
) -> Result<Link, CniError> {
    let at = origin.at;
    let new =
        NewLink { name: at.ifname.as_str(), mtu: conf.mtu.get(), target: Some(pod), ..NewLink::default() };
    let link = match home.add_ipvlan(&new, master.index, mode(conf.mode), flag(conf.flag)) {
        Err(error) if error.is_exists() => return Err(veth_pair::taken(&at.ifname)),
        Err(error) if error.is_busy() => {
            let text = format!(
                "the master `{}` is used in another way already, such as by macvlan or a bridge ({error}); name \
                 another `master`",
                master.name
            );
            return Err(CniError::failed(text));
        }
        made => made.told().map_err(|error| error.context(&format!("master `{}`", master.name)))?,
    };
    made::keep(undo, "ipvlan", origin, pod, &link, None)?;
    Ok(link)
}

fn mode(mode: IpvlanMode) -> manifold_net::IpvlanMode {
    match mode {
        IpvlanMode::L2 => manifold_net::IpvlanMode::L2,
        IpvlanMode::L3 => manifold_net::IpvlanMode::L3,
        IpvlanMode::L3s => manifold_net::IpvlanMode::L3s,
    }
}

fn flag(flag: IpvlanFlag) -> manifold_net::IpvlanFlag {
    match flag {
        IpvlanFlag::Bridge => manifold_net::IpvlanFlag::Bridge,
        IpvlanFlag::Private => manifold_net::IpvlanFlag::Private,
        IpvlanFlag::Vepa => manifold_net::IpvlanFlag::Vepa,
    }
}
