//! `macvlan`: the pod gets a link of its own, with its own MAC address, on a link of the host (PLG-MACVLAN).

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, IfName, Input, Interface, Ipam, Plugin,
};
use manifold_net::{Link, Mac, MacvlanSpec, Net, RouteFilter, route};
use manifold_plugin_conf::mac::{Sources, requested};
use manifold_plugin_conf::{MacvlanConf, MacvlanMode};

use super::failure::{Told, gone_is_fine};
use super::settings::{self, Ipv6, Settings};
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::{address, dns, ownership, sandbox, verify, veth_pair};

const KIND: &str = "macvlan";
/// The pod's neighbours learn at once that an address has moved here.
const NOTIFY: &[(&str, &str, &str)] = &[("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1")];

#[derive(Clone, Copy, Debug)]
pub struct Macvlan {
    pub after_step: AfterStep,
}

impl Plugin for Macvlan {
    fn name(&self) -> &'static str {
        "macvlan"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let conf = read(input)?;
        let mac = requested(&input.config, &at.args, Sources::WithConfigKey)
            .map_err(|problem| problem.into_error(&input.name))?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let home = if conf.link_in_container { &pod } else { &host };
        let master = master(home, conf.master.as_ref())?;
        check_mtu(&conf, &master)?;
        let spec = MacvlanSpec {
            name: at.ifname.as_str(),
            parent_index: master.index,
            mode: mode(conf.mode),
            mac: mac.map(|mac| Mac(mac.octets())),
            mtu: conf.mtu.get(),
            bc_queue_len: (conf.bcqueuelen != 0).then_some(conf.bcqueuelen),
            up: false,
            target: Some(&pod),
        };
        let mut undo = Undo::new(self.after_step);
        let made = make(&mut undo, home, &pod, &spec, at, &master)
            .and_then(|link| configure(&mut undo, input, at, &conf, &pod, &link, ipam.as_ref()));
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        if let Some(ipam) = Ipam::of(input, crate::bundled)? {
            ipam.check(at)?;
        }
        let found = verify::interface(input, at, KIND)?;
        let host = Net::here().told()?;
        check_master(if conf.link_in_container { &found.pod } else { &host }, &conf, &found.link)?;
        if found.link.macvlan_mode != Some(mode(conf.mode)) {
            let text = format!("interface `{}` is not in mode `{:?}` any more", at.ifname, mode(conf.mode));
            return Err(CniError::check(text.to_lowercase()));
        }
        found.addresses_and_routes()
    }

    /// Needs neither the master nor a configuration that still fits.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        teardown
            .part(Ipam::of(input, crate::bundled).and_then(|ipam| ipam.map_or(Ok(()), |ipam| ipam.del(at))));
        teardown.part(sandbox::find(at.netns.as_deref()).and_then(|pod| match pod {
            Some(pod) => ownership::delete(input, at, &pod, KIND),
            None => Ok(()), // The link went with its namespace.
        }));
        teardown.finish()
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.status())
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.gc(keep))
    }
}

fn read(input: &Input) -> Result<MacvlanConf, CniError> {
    MacvlanConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn make<'a>(
    undo: &mut Undo<'a>,
    home: &Net,
    pod: &'a Net,
    spec: &MacvlanSpec<'_>,
    at: &Attachment,
    master: &Link,
) -> Result<Link, CniError> {
    let link = match home.add_macvlan(spec) {
        Err(error) if error.is_exists() => return Err(veth_pair::taken(&at.ifname)),
        made => made.told().map_err(|error| error.context(&format!("master `{}`", master.name)))?,
    };
    let index = link.index;
    undo.done("macvlan", move || gone_is_fine(pod.delete(index)))?;
    Ok(link)
}

fn configure<'a>(
    undo: &mut Undo<'a>,
    input: &Input,
    at: &'a Attachment,
    conf: &MacvlanConf,
    pod: &'a Net,
    link: &Link,
    ipam: Option<&Ipam<'a>>,
) -> Result<CniResult, CniError> {
    let interface = Interface {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox: at.netns.to_string_lossy().into_owned(),
        ..Interface::default()
    };
    let mut result = CniResult::default();
    match ipam {
        Some(ipam) => {
            result = ipam.add(at)?;
            let ipam = ipam.clone();
            undo.done("addresses of IPAM", move || ipam.del(&at.detach()))?;
            result.interfaces = vec![interface];
            result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
            address::apply(undo, pod, link, &address::plan(&result, 0)?, NOTIFY, input.deadline)?;
        }
        None => {
            settings::write(pod, &link.name, &Settings { ipv6: Ipv6::PodsBusiness, further: &[] })?;
            pod.set_up(link.index).told()?;
            undo.passed("link up")?;
            result.interfaces = vec![interface];
        }
    }
    dns::replace(&mut result, &conf.dns);
    Ok(result)
}

/// The link named, or that of the default route.
fn master(home: &Net, named: Option<&IfName>) -> Result<Link, CniError> {
    if let Some(name) = named {
        let found = home.link(name.as_str()).told()?;
        return found.ok_or_else(|| {
            CniError::failed(format!(
                "there is no link `{name}` to be the `master`; create it, or name another one"
            ))
        });
    }
    let routes =
        home.routes(RouteFilter { table: Some(route::MAIN_TABLE), ..RouteFilter::default() }).told()?;
    let by_default = routes
        .iter()
        .filter(|route| route.is_default())
        .find_map(|route| route.oif.or_else(|| route.multipath.first().map(|hop| hop.oif)));
    let found = by_default.map_or(Ok(None), |index| home.link_by_index(index)).told()?;
    found.ok_or_else(|| {
        CniError::failed("`master` is not given, and there is no default route to take it from; name it")
    })
}

fn check_mtu(conf: &MacvlanConf, master: &Link) -> Result<(), CniError> {
    match conf.mtu.get() {
        Some(mtu) if mtu > master.mtu => Err(CniError::config(format!(
            "`mtu` {mtu} is above that of the master `{}`; give 0 to {}",
            master.name, master.mtu
        ))),
        _ => Ok(()),
    }
}

/// The link is still on the master that is named, or on one that exists.
fn check_master(home: &Net, conf: &MacvlanConf, link: &Link) -> Result<(), CniError> {
    let parent = link.peer_or_parent.map_or(Ok(None), |index| home.link_by_index(index)).told()?;
    match (&conf.master, parent) {
        (Some(named), Some(parent)) if parent.name != named.as_str() => Err(CniError::check(format!(
            "interface `{}` is on link `{}`, not on the master `{named}`",
            link.name, parent.name
        ))),
        (Some(named), None) => Err(CniError::check(format!("the master `{named}` does not exist any more"))),
        (None, None) => {
            Err(CniError::check(format!("the master of interface `{}` does not exist any more", link.name)))
        }
        (_, Some(_)) => Ok(()),
    }
}

fn mode(mode: MacvlanMode) -> manifold_net::MacvlanMode {
    match mode {
        MacvlanMode::Bridge => manifold_net::MacvlanMode::Bridge,
        MacvlanMode::Private => manifold_net::MacvlanMode::Private,
        MacvlanMode::Vepa => manifold_net::MacvlanMode::Vepa,
        MacvlanMode::Passthru => manifold_net::MacvlanMode::Passthru,
    }
}
