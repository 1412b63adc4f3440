//! `ptp`: a routed veth pair between pod and host; the pod reaches everything through the host (PLG-PTP).

use std::net::IpAddr;

use ipnet::IpNet;
use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, IpConfig, Ipam, Plugin,
};
use manifold_net::{AddressOptions, Link, Net, Route, RouteAdd, RouteFilter, route};
use manifold_plugin_conf::PtpConf;

use super::failure::{Told, gone_is_fine};
use super::masquerade::Key;
use super::record::made::{self, Origin};
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::veth_pair::{self, VethPair};
use super::{address, dns, forwarding, idle_routes, masquerade, ownership, sandbox, sole_link, verify};

const KIND: &str = "veth";
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

#[derive(Clone, Copy, Debug)]
pub struct Ptp {
    pub after_step: AfterStep,
}

impl Plugin for Ptp {
    fn name(&self) -> &'static str {
        "ptp"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let ipam = ipam(input)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        // IPAM comes before the link, and undoing an ADD that came twice would release the living attachment's lease.
        if pod.link(at.ifname.as_str()).told()?.is_some() {
            return Err(veth_pair::taken(&at.ifname));
        }
        let mut undo = Undo::new(self.after_step);
        let made = attach(&mut undo, input, at, &conf, &ipam, &host, &pod);
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        ipam(input)?.check(at)?;
        let found = verify::interface(input, at, KIND)?;
        found.addresses_and_routes()?;
        let prev = input.require_prev_result()?;
        let host = Net::here().told()?;
        check_host_end(&host, prev, &found.link, found.own_ips())?;
        if !conf.ip_masq {
            return Ok(());
        }
        let addresses: Vec<IpNet> = found.own_ips().map(|ip| ip.address).collect();
        masquerade::check(conf.ip_masq_backend, &Key::of(input, at), &addresses, input.deadline)
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let conf = PtpConf::read_leniently(&input.config);
        let pod = sandbox::find(at.netns.as_deref());
        let reachable = pod.as_ref().ok().and_then(Option::as_ref);
        let known = conf.ip_masq.then(|| masquerade::known_addresses(input, at, reachable)).flatten();
        // The host's route to the pod goes with the link.
        sole_link::end(input, at, |teardown| {
            teardown.part(
                pod.and_then(|pod| ownership::delete_veth(input, at, &Net::here().told()?, pod.as_ref())),
            );
            if conf.ip_masq {
                let key = Key::of_detachment(input, at);
                teardown.part(masquerade::tear_down(&key, known.as_deref(), input.deadline));
            }
        })
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        ipam(input)?.status()
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let conf = PtpConf::read_leniently(&input.config);
        let mut teardown = Teardown::default();
        teardown.part(ipam(input).and_then(|ipam| ipam.gc(keep)));
        teardown.part(made::collect(input, keep));
        if conf.ip_masq {
            teardown.part(masquerade::collect(&input.name, keep, input.deadline));
        }
        teardown.finish()
    }
}

fn read(input: &Input) -> Result<PtpConf, CniError> {
    PtpConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn ipam(input: &Input) -> Result<Ipam<'_>, CniError> {
    Ipam::of(input, crate::bundled)?.ok_or_else(|| {
        CniError::config(format!(
            "network `{}`: ptp routes by address, so it needs an `ipam` with a `type`; add one",
            input.name
        ))
    })
}

fn attach<'a>(
    undo: &mut Undo<'a>,
    input: &'a Input,
    at: &'a Attachment,
    conf: &PtpConf,
    ipam: &Ipam<'a>,
    host: &'a Net,
    pod: &'a Net,
) -> Result<CniResult, CniError> {
    let mut result = ipam.add(at)?;
    let releasing = ipam.clone();
    undo.done("addresses of IPAM", move || releasing.del(&at.detach()))?;
    let ways = ways(&result.ips)?;
    forwarding::enable(host, ways.iter().map(|way| way.gateway))?;
    undo.passed("forwarding")?;
    let pair = veth_pair::make(undo, Origin { input, at, host }, pod, None, conf.mtu.get())?;
    result.interfaces = interfaces(&pair, at);
    result.ips.iter_mut().for_each(|ip| ip.interface = Some(1));
    idle_routes::leave_out(&mut result, 1, pod)?;
    // The host's end first: duplicate address detection in the pod needs somebody to ask.
    host.set_up(pair.outer.index).told()?;
    address::apply(
        undo,
        pod,
        &pair.inner,
        &address::plan(&result, 1)?.for_network(input)?,
        &[],
        input.deadline,
    )?;
    for way in &ways {
        way.route_in_pod(pod, &pair.inner)?;
    }
    undo.passed("routes through the host")?;
    for way in &ways {
        way.address_in_host(host, &pair.outer)?;
        way.route_in_host(undo, host, &pair.outer)?;
    }
    if conf.ip_masq {
        let addresses: Vec<IpNet> = ways.iter().map(|way| way.address).collect();
        let key = Key::of(input, at);
        masquerade::set_up(conf.ip_masq_backend, &key, &addresses, input.deadline)?;
        undo.done("masquerading", move || {
            masquerade::tear_down(&Key::of(input, at), Some(&addresses), input.deadline)
        })?;
    }
    dns::prefer_configured(&mut result, &conf.dns);
    Ok(result)
}

/// One address of the pod and the address of the host through which it reaches everything.
#[derive(Clone, Copy, Debug)]
struct Way {
    address: IpNet,
    gateway: IpAddr,
}

fn ways(ips: &[IpConfig]) -> Result<Vec<Way>, CniError> {
    let way = |ip: &IpConfig| match ip.gateway {
        Some(gateway) => Ok(Way { address: ip.address, gateway }),
        None => Err(CniError::failed(format!(
            "IPAM gave address `{}` without a gateway, and ptp routes through one; let IPAM give it",
            ip.address
        ))),
    };
    ips.iter().map(way).collect()
}

impl Way {
    /// Only the gateway is on the link; the rest of the subnet is behind it.
    fn route_in_pod(&self, pod: &Net, link: &Link) -> Result<(), CniError> {
        let subnet = self.address.trunc();
        let from_here =
            |dst| Route { oif: Some(link.index), src: Some(self.address.addr()), ..Route::new(dst) };
        // A prefix of one address has no route of the kernel's.
        if subnet.prefix_len() < subnet.max_prefix_len() {
            gone_is_fine(pod.del_route(&Route { oif: Some(link.index), ..Route::new(subnet) }))?;
        }
        let gateway = Route { scope: Some(SCOPE_LINK), ..from_here(IpNet::from(self.gateway)) };
        exists_is_fine(pod.add_route(&gateway, RouteAdd::Create))?;
        if subnet.prefix_len() < subnet.max_prefix_len() {
            let through = Route { gateway: Some(self.gateway), scope: Some(0), ..from_here(subnet) };
            pod.add_route(&through, RouteAdd::Create).told()?;
        }
        Ok(())
    }

    fn address_in_host(&self, host: &Net, link: &Link) -> Result<(), CniError> {
        // The same gateway is on every pod's link on purpose, so there is no duplicate to detect.
        let options = AddressOptions { no_dad: true, ..AddressOptions::default() };
        exists_is_fine(host.add_address(link.index, IpNet::from(self.gateway), options))
    }

    /// One that leads elsewhere is a leftover of the address's former owner, and would go with that one's link: it is
    /// replaced, and comes back if a later step fails (COMPAT-14).
    fn route_in_host<'a>(&self, undo: &mut Undo<'a>, host: &'a Net, link: &Link) -> Result<(), CniError> {
        let to_pod = Route {
            oif: Some(link.index),
            scope: Some(SCOPE_HOST),
            ..Route::new(IpNet::from(self.address.addr()))
        };
        let replaced = match host.add_route(&to_pod, RouteAdd::Create) {
            Err(error) if error.is_exists() => Self::others_in_host(host, &to_pod)?,
            added => return added.told().and_then(|()| undo.passed("routes to the pod")),
        };
        host.add_route(&to_pod, RouteAdd::Replace).told()?;
        undo.done("routes to the pod", move || {
            // A route over a link that is gone by now leads nowhere.
            let back = replaced.iter().map(|route| host.add_route(route, RouteAdd::Replace));
            back.filter(|back| !back.as_ref().is_err_and(|error| error.is_no_device()))
                .collect::<Result<(), _>>()
                .told()
        })
    }

    fn others_in_host(host: &Net, to_pod: &Route) -> Result<Option<Route>, CniError> {
        let filter = RouteFilter {
            family: Some(to_pod.family()),
            table: Some(route::MAIN_TABLE),
            ..RouteFilter::default()
        };
        let mut routes = host.routes(filter).told()?.into_iter();
        Ok(routes
            .find(|route| route.dst == to_pod.dst && !to_pod.oif.is_some_and(|oif| route.leaves_by(oif))))
    }
}

fn exists_is_fine(added: Result<(), manifold_net::NetError>) -> Result<(), CniError> {
    match added {
        Err(error) if error.is_exists() => Ok(()),
        other => other.told(),
    }
}

fn interfaces(pair: &VethPair, at: &Attachment) -> Vec<Interface> {
    let interface = |link: &Link, sandbox: String| Interface {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox,
        ..Interface::default()
    };
    vec![
        interface(&pair.outer, String::new()),
        interface(&pair.inner, at.netns.to_string_lossy().into_owned()),
    ]
}

/// The host's end is there, is up, is the pod's peer, and the host routes the pod's addresses to it.
fn check_host_end<'a>(
    host: &Net,
    prev: &CniResult,
    inner: &Link,
    ips: impl Iterator<Item = &'a IpConfig>,
) -> Result<(), CniError> {
    let mut outer = None;
    for told in prev.interfaces.iter().filter(|told| told.sandbox.is_empty()) {
        let link = host.link(&told.name).told()?;
        outer = outer.or(link.filter(|link| link.is_kind(KIND) && inner.peer_or_parent == Some(link.index)));
    }
    let outer = outer.ok_or_else(|| {
        CniError::check(format!("the host's end of interface `{}` is not there any more", inner.name))
    })?;
    if !outer.up {
        return Err(CniError::check(format!(
            "the host's end `{}` of interface `{}` is down",
            outer.name, inner.name
        )));
    }
    let filter =
        RouteFilter { oif: Some(outer.index), table: Some(route::MAIN_TABLE), ..RouteFilter::default() };
    let routes = host.routes(filter).told()?;
    for ip in ips {
        if !routes.iter().any(|route| route.dst == IpNet::from(ip.address.addr())) {
            let text = format!(
                "the host has no route to the pod's address `{}` over `{}` any more",
                ip.address.addr(),
                outer.name
            );
            return Err(CniError::check(text));
        }
    }
    Ok(())
}
