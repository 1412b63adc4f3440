//! An attachment that is one link of the pod's: where its addresses come from, the result that tells of it, its end.

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Ipam};
use manifold_net::{Link, Net};
use manifold_plugin_conf::DnsConf;

use super::failure::told_with_mac;
use super::record::made;
use super::settings::{self, Ipv6, Setting, Settings};
use super::teardown::Teardown;
use super::undo::Undo;
use super::{address, announce, dns, idle_routes, ownership, sandbox};

/// The pod's neighbours learn at once that an address has moved here.
pub(crate) const NOTIFY: &[Setting] = &[("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1")];

/// Where a link's addresses come from.
pub(crate) enum Addresses<'s, 'a> {
    /// Nowhere: what runs over the link is the pod's business.
    None,
    FromIpam(&'s Ipam<'a>),
    /// From a result that is there already.
    Given(CniResult),
}

impl<'s, 'a> Addresses<'s, 'a> {
    pub(crate) fn of(ipam: Option<&'s Ipam<'a>>) -> Self {
        ipam.map_or(Self::None, Self::FromIpam)
    }
}

/// What the link is going to be, beside its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'s> {
    pub(crate) settings: &'static [Setting],
    /// For links of which the kernel announces nothing, or before anybody can hear it.
    pub(crate) announce: bool,
    /// Takes the place of IPAM's; `None` leaves that.
    pub(crate) dns: Option<&'s DnsConf>,
}

/// Gives the link its addresses, sets it up, and tells of it.
pub(crate) fn furnish<'a>(
    undo: &mut Undo<'a>,
    input: &Input,
    at: &'a Attachment,
    pod: &'a Net,
    link: &Link,
    addresses: Addresses<'_, 'a>,
    finish: Finish<'_>,
) -> Result<CniResult, CniError> {
    let mut result = match addresses {
        Addresses::None => None,
        Addresses::FromIpam(ipam) => Some(lease(undo, ipam, at)?),
        Addresses::Given(result) => Some(result),
    };
    if let Some(result) = &mut result {
        result.interfaces = vec![interface(link, at)];
        result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
        idle_routes::leave_out(result, 0, pod)?;
        let plan = address::plan(result, 0)?.for_network(input)?;
        address::apply(undo, pod, link, &plan, finish.settings, input.deadline)?;
        if let Some(mac) = link.mac.filter(|_| finish.announce) {
            announce::announce(pod, link.index, mac, result, 0, input.deadline);
        }
    } else {
        settings::write(pod, &link.name, &Settings { ipv6: Ipv6::PodsBusiness, further: finish.settings })?;
        told_with_mac(pod.set_up(link.index), &link.name, link.mac)?;
        undo.passed("link up")?;
    }
    let mut result =
        result.unwrap_or_else(|| CniResult { interfaces: vec![interface(link, at)], ..CniResult::default() });
    if let Some(conf) = finish.dns {
        dns::replace(&mut result, conf);
    }
    Ok(result)
}

/// Takes addresses, which go back if a later step fails.
pub(crate) fn lease<'a>(
    undo: &mut Undo<'a>,
    ipam: &Ipam<'a>,
    at: &'a Attachment,
) -> Result<CniResult, CniError> {
    lease_naming_links(undo, ipam, at).map(|(result, _)| result)
}

/// The same, with the links that IPAM's answer names.
pub(crate) fn lease_naming_links<'a>(
    undo: &mut Undo<'a>,
    ipam: &Ipam<'a>,
    at: &'a Attachment,
) -> Result<(CniResult, Vec<Interface>), CniError> {
    let (result, named) = ipam.add_naming_links(at)?;
    goes_back_last(undo, ipam, at)?;
    Ok((result, named))
}

/// An ADD that fails gives the addresses back in the order of DEL: see [`end`].
pub(crate) fn goes_back_last<'a>(
    undo: &mut Undo<'a>,
    ipam: &Ipam<'a>,
    at: &'a Attachment,
) -> Result<(), CniError> {
    const STEP: &str = "addresses of IPAM";
    let releasing = ipam.clone();
    let release = move || releasing.del(&at.detach());
    if is_dhcp(ipam) { undo.done(STEP, release) } else { undo.done_below_all(STEP, release) }
}

/// Its server is told of the end of a lease over the link.
fn is_dhcp(ipam: &Ipam<'_>) -> bool {
    ipam.kind().as_str() == "dhcp"
}

/// The link as the result tells of it.
pub(crate) fn interface(link: &Link, at: &Attachment) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox: at.netns.to_string_lossy().into_owned(),
        ..Interface::default()
    }
}

/// DEL of a link of this kind. Needs neither its master nor a configuration that still fits.
pub(crate) fn del(input: &Input, at: &Detachment, kind: &str) -> Result<(), CniError> {
    end(input, at, |teardown| {
        let pod = sandbox::find(at.netns.as_deref());
        teardown.part(pod.and_then(|pod| ownership::delete(input, at, pod.as_ref(), kind)));
    })
}

/// DEL in its order: what uses the addresses goes first, so that nobody gets an address that is in use (COMPAT-14). But a
/// DHCP server is told of the end over the link (PLG-COM-17).
pub(crate) fn end(
    input: &Input,
    at: &Detachment,
    take_down: impl FnOnce(&mut Teardown),
) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    if Ipam::of(input, crate::bundled).is_ok_and(|ipam| ipam.as_ref().is_some_and(is_dhcp)) {
        teardown.part(release(input, at));
        take_down(&mut teardown);
    } else {
        take_down(&mut teardown);
        teardown.part(release(input, at));
    }
    teardown.finish()
}

fn release(input: &Input, at: &Detachment) -> Result<(), CniError> {
    Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.del(at))
}

pub(crate) fn status(input: &Input) -> Result<(), CniError> {
    Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.status())
}

pub(crate) fn gc(input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
    let mut teardown = Teardown::default();
    teardown.part(Ipam::of(input, crate::bundled).and_then(|ipam| ipam.map_or(Ok(()), |ipam| ipam.gc(keep))));
    teardown.part(made::collect(input, keep));
    teardown.finish()
}

/// CHECK's part that is IPAM's.
pub(crate) fn check_ipam(input: &Input, at: &Attachment) -> Result<(), CniError> {
    Ipam::of(input, crate::bundled)?.map_or(Ok(()), |ipam| ipam.check(at))
}
