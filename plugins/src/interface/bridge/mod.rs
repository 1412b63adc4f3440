//! `bridge`: the pod gets a port of a Linux bridge of the host (PLG-BRIDGE).

mod check;
mod device;
mod gateway;
mod port;

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Ipam, Plugin,
};
use manifold_net::{Link, Mac, Net};
use manifold_plugin_conf::BridgeConf;
use manifold_plugin_conf::mac::{Sources, requested};

use super::announce::AFTER_DETECTION;
use super::failure::Told;
use super::masquerade::Key;
use super::record::made::{self, Origin};
use super::settings::{self, Ipv6, Setting, Settings};
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::{
    address, announce, dns, idle_routes, masquerade, ownership, sandbox, sole_link, spoof_check, veth_pair,
};

/// Where the container's interface stands in the result.
const OWN: usize = 2;
/// Neighbours learn at once that the address is here. Whether duplicates of it are looked for is the configuration's
/// choice: on a bridge of the host the answer costs a second of every pod's start.
const WITHOUT_DAD: &[Setting] = &[("ipv6", "accept_dad", "0"), ("ipv4", "arp_notify", "1"), AFTER_DETECTION];
const WITH_DAD: &[Setting] = &[
    ("ipv6", "enhanced_dad", "1"),
    ("ipv6", "accept_dad", "1"),
    ("ipv4", "arp_notify", "1"),
    AFTER_DETECTION,
];

#[derive(Clone, Copy, Debug)]
pub struct Bridge {
    pub after_step: AfterStep,
}

impl Plugin for Bridge {
    fn name(&self) -> &'static str {
        "bridge"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let conf = read(input)?;
        let mac = requested(&input.config, &at.args, Sources::WithArgsCni)
            .map_err(|problem| problem.into_error(&input.name))?;
        let call = Call {
            input,
            at,
            conf: &conf,
            mac: mac.map(|mac| Mac(mac.octets())),
            ipam: Ipam::of(input, crate::bundled)?,
        };
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let mut undo = Undo::new(self.after_step);
        let made = call.attach(&mut undo, &host, &pod);
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        if let Some(ipam) = Ipam::of(input, crate::bundled)? {
            ipam.check(at)?;
        }
        check::check(input, at, &conf)
    }

    /// The bridge stays: it is the host's, and other pods may be on it.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let conf = BridgeConf::read_leniently(&input.config);
        let key = Key::of_detachment(input, at);
        let pod = sandbox::find(at.netns.as_deref());
        let reachable = pod.as_ref().ok().and_then(Option::as_ref);
        let known = conf.ip_masq.then(|| masquerade::known_addresses(input, at, reachable)).flatten();
        sole_link::end(input, at, |teardown| {
            teardown.part(
                pod.and_then(|pod| ownership::delete_veth(input, at, &Net::here().told()?, pod.as_ref())),
            );
            if conf.ip_masq {
                teardown.part(masquerade::tear_down(&key, known.as_deref(), input.deadline));
            }
            if conf.macspoofchk {
                teardown.part(spoof_check::tear_down(&key, input.deadline));
            }
        })
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.status())
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let conf = BridgeConf::read_leniently(&input.config);
        let mut teardown = Teardown::default();
        teardown
            .part(Ipam::of(input, crate::bundled).and_then(|ipam| ipam.map_or(Ok(()), |ipam| ipam.gc(keep))));
        teardown.part(made::collect(input, keep));
        if conf.ip_masq {
            teardown.part(masquerade::collect(&input.name, keep, input.deadline));
        }
        if conf.macspoofchk {
            teardown.part(spoof_check::collect(&input.name, keep, input.deadline));
        }
        teardown.finish()
    }
}

fn read(input: &Input) -> Result<BridgeConf, CniError> {
    BridgeConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

/// One ADD, with all that was read before the first step.
struct Call<'a> {
    input: &'a Input,
    at: &'a Attachment,
    conf: &'a BridgeConf,
    mac: Option<Mac>,
    ipam: Option<Ipam<'a>>,
}

impl<'a> Call<'a> {
    fn attach(&self, undo: &mut Undo<'a>, host: &'a Net, pod: &'a Net) -> Result<CniResult, CniError> {
        let Self { input, at, conf, .. } = *self;
        let bridge = device::ensure(host, conf)?;
        undo.passed("bridge")?;
        let pair = veth_pair::make(undo, Origin { input, at, host }, pod, self.mac, conf.mtu.get())?;
        port::join(host, &bridge, &pair.outer, conf)?;
        undo.passed("bridge port")?;
        if conf.macspoofchk {
            self.check_spoofing(undo, &pair.outer, &pair.inner)?;
        }
        let sandbox = at.netns.to_string_lossy().into_owned();
        let interfaces = vec![
            interface(&bridge, String::new()),
            interface(&pair.outer, String::new()),
            interface(&pair.inner, sandbox),
        ];
        let mut result = match &self.ipam {
            Some(ipam) => self.with_addresses(undo, host, pod, ipam, &bridge, &pair.inner, interfaces)?,
            None => self.without_addresses(undo, pod, &pair.inner, interfaces)?,
        };
        if !conf.disable_container_interface {
            port::wait_until_up(host, &pair.outer, input.deadline)?;
            undo.passed("port up")?;
            port::wait_until_it_forwards(host, &bridge, &pair.outer, input.deadline);
            if let Some(mac) = pair.inner.mac {
                announce::announce(pod, pair.inner.index, mac, &result, OWN, input.deadline);
            }
        }
        // The bridge's address may have become that of the new port.
        if let (Some(bridge), Some(first)) =
            (host.link_by_index(bridge.index).told()?, result.interfaces.first_mut())
        {
            *first = interface(&bridge, String::new());
        }
        dns::prefer_configured(&mut result, &conf.dns);
        Ok(result)
    }

    fn check_spoofing(&self, undo: &mut Undo<'a>, outer: &Link, inner: &Link) -> Result<(), CniError> {
        let Self { input, at, .. } = *self;
        let mac =
            inner.mac.ok_or_else(|| CniError::failed(format!("link `{}` has no MAC address", inner.name)))?;
        spoof_check::set_up(&Key::of(input, at), &outer.name, mac, input.deadline)?;
        undo.done("MAC address check", move || spoof_check::tear_down(&Key::of(input, at), input.deadline))
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing that ADD made before; a struct would be unpacked again at once"
    )]
    fn with_addresses(
        &self,
        undo: &mut Undo<'a>,
        host: &'a Net,
        pod: &'a Net,
        ipam: &Ipam<'a>,
        bridge: &Link,
        inner: &Link,
        interfaces: Vec<Interface>,
    ) -> Result<CniResult, CniError> {
        let Self { input, at, conf, .. } = *self;
        let mut result = ipam.add(at)?;
        sole_link::goes_back_last(undo, ipam, at)?;
        result.interfaces = interfaces;
        gateway::complete(&mut result, conf, gateway::Source::of(ipam.kind().as_str(), &input.config))?;
        idle_routes::leave_out(&mut result, OWN, pod)?;
        let further = if conf.enabledad { WITH_DAD } else { WITHOUT_DAD };
        if conf.is_gateway() {
            // Before the pod's addresses: its first packet may go to the gateway.
            let on = gateway::put(undo, host, bridge, &result, conf)?;
            result.interfaces.extend(on.map(|vlan| interface(&vlan, String::new())));
            undo.passed("gateway")?;
        }
        address::apply(
            undo,
            pod,
            inner,
            &address::plan(&result, OWN)?.for_network(input)?,
            further,
            input.deadline,
        )?;
        if conf.ip_masq {
            let addresses: Vec<_> = result.ips.iter().map(|ip| conf.masqueraded_beyond(ip.address)).collect();
            masquerade::set_up(conf.ip_masq_backend, &Key::of(input, at), &addresses, input.deadline)?;
            undo.done("masquerading", move || {
                masquerade::tear_down(&Key::of(input, at), Some(&addresses), input.deadline)
            })?;
        }
        Ok(result)
    }

    fn without_addresses(
        &self,
        undo: &mut Undo<'a>,
        pod: &'a Net,
        inner: &Link,
        interfaces: Vec<Interface>,
    ) -> Result<CniResult, CniError> {
        settings::write(pod, &inner.name, &Settings { ipv6: Ipv6::PodsBusiness, further: &[] })?;
        if !self.conf.disable_container_interface {
            pod.set_up(inner.index).told()?;
            undo.passed("link up")?;
        }
        Ok(CniResult { interfaces, ..CniResult::default() })
    }
}

fn interface(link: &Link, sandbox: String) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox,
        ..Interface::default()
    }
}
