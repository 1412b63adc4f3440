//! `host-device`: a device of the host is the pod's for as long as the pod lives (PLG-HOSTDEV).

mod select;

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Ipam, Plugin,
};
use manifold_net::{Link, Mac, Net};
use manifold_plugin_conf::HostDeviceConf;
use manifold_plugin_conf::host_device::Selector;

use super::announce::AFTER_DETECTION;
use super::failure::Told;
use super::lent::{self, Borrower, Outcome, unrecorded};
use super::sole_link::{self, Addresses, Finish};
use super::sysfs::Sysfs;
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::{sandbox, verify};
use select::Chosen;

#[derive(Clone, Copy, Debug)]
pub struct HostDevice {
    pub after_step: AfterStep,
}

impl Plugin for HostDevice {
    fn name(&self) -> &'static str {
        "host-device"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        lent::settle(&host)?;
        let chosen = select::find(&host, &conf.selector, &at.ifname, Sysfs::real())?;
        let mut undo = Undo::new(self.after_step);
        let finish = Finish { settings: &[AFTER_DETECTION], announce: true, dns: Some(&conf.dns) };
        let made = match &chosen {
            Chosen::Link(link) => lent::lend(
                &mut undo,
                Borrower { input, at },
                [&host, &pod],
                link,
                &at.ifname,
            )
            .and_then(|link| {
                sole_link::furnish(&mut undo, input, at, &pod, &link, Addresses::of(ipam.as_ref()), finish)
            }),
            Chosen::Userspace => without_link(&mut undo, at, ipam.as_ref(), finish),
        };
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        let prev = input.require_prev_result()?;
        let told = prev.interfaces.iter().find(|told| told.name == at.ifname.as_str());
        // A device that a program drives has neither a link nor, for us, a MAC address.
        if told.is_some_and(|told| told.mac.is_empty()) && self.is_userspace(&conf, at)? {
            return Ok(());
        }
        verify::any_interface(input, at)?.addresses_and_routes()
    }

    /// Needs neither the selector to lead anywhere nor the namespace.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        sole_link::end(input, at, |teardown| teardown.part(give_back(input, at)))
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        sole_link::status(input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let mut teardown = Teardown::default();
        teardown.part(sole_link::gc(input, keep));
        teardown.part(lent::collect(input, keep));
        teardown.finish()
    }
}

impl HostDevice {
    fn is_userspace(self, conf: &HostDeviceConf, at: &Attachment) -> Result<bool, CniError> {
        let host = Net::here().told()?;
        let chosen = select::find(&host, &conf.selector, &at.ifname, Sysfs::real());
        Ok(matches!(chosen, Ok(Chosen::Userspace)))
    }
}

fn read(input: &Input) -> Result<HostDeviceConf, CniError> {
    HostDeviceConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

/// The addresses are the program's to use.
fn without_link<'a>(
    undo: &mut Undo<'a>,
    at: &'a Attachment,
    ipam: Option<&Ipam<'a>>,
    finish: Finish<'_>,
) -> Result<CniResult, CniError> {
    let mut result = match ipam {
        Some(ipam) => sole_link::lease(undo, ipam, at)?,
        None => CniResult::default(),
    };
    result.interfaces = vec![Interface {
        name: at.ifname.to_string(),
        sandbox: at.netns.to_string_lossy().into_owned(),
        ..Interface::default()
    }];
    result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
    if let Some(conf) = finish.dns {
        super::dns::replace(&mut result, conf);
    }
    Ok(result)
}

fn give_back(input: &Input, at: &Detachment) -> Result<(), CniError> {
    let host = Net::here().told()?;
    match lent::take_back(&host, at, input.deadline)? {
        Outcome::Over => Ok(()),
        Outcome::NotRecorded => give_back_unrecorded(input, at, &host),
    }
}

fn give_back_unrecorded(input: &Input, at: &Detachment, host: &Net) -> Result<(), CniError> {
    if let Some(pod) = sandbox::find(at.netns.as_deref())? {
        let named = match HostDeviceConf::read(&input.config).map(|conf| conf.selector) {
            Ok(Selector::Name(name)) => Some(name),
            _ => None,
        };
        unrecorded::take_back(host, &pod, &at.ifname, named.as_ref())?;
    }
    unrecorded::rename_stranded(host, &at.ifname, |link, home| is_it(input, at, link, home))
}

/// By what the result told, and else by what the configuration selects it by.
fn is_it(input: &Input, at: &Detachment, link: &Link, home: &str) -> bool {
    let mac = link.permanent_mac.or(link.mac);
    let interfaces = input.prev_result.iter().flat_map(|prev| &prev.interfaces);
    let mut told = interfaces.filter(|told| told.name == at.ifname.as_str() && !told.mac.is_empty());
    if let Some(told) = told.next() {
        return mac.is_some_and(|mac| mac.to_string().eq_ignore_ascii_case(&told.mac));
    }
    match HostDeviceConf::read(&input.config).map(|conf| conf.selector) {
        Ok(Selector::Name(name)) => name.as_str() == home,
        Ok(Selector::Mac(wanted)) => mac == Some(Mac(wanted.octets())),
        Ok(Selector::Pci(address)) => Sysfs::real().is_at(&link.name, &address),
        _ => false,
    }
}
