//! `sriov`: a virtual function of a network card is the pod's for as long as it lives (PLG-SRIOV).

mod address;
mod function;
mod rules;
mod store;

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Ipam, Plugin, code,
};
use manifold_net::{Link, Mac, Net, Vf, VfState};
use manifold_plugin_conf::mac::{Sources, requested};
use manifold_plugin_conf::{PciAddress, SriovConf};

use super::failure::Told;
use super::lent::{self, Borrower, Outcome, unrecorded};
use super::settings::Setting;
use super::sole_link::{self, Addresses, Finish};
use super::sysfs::{self, Sysfs};
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::{dns, sandbox, verify, veth_pair};
use function::Function;
use store::{Record, Store};

/// As the reference sets them.
const SETTINGS: &[Setting] =
    &[("ipv4", "arp_notify", "1"), ("ipv6", "ndisc_notify", "1"), ("ipv6", "optimistic_dad", "1")];

/// The kernel ends a namespace a moment after its last user, and only then returns its devices.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct Sriov {
    pub after_step: AfterStep,
    /// `/var/lib/cni/sriov`; another one in tests.
    pub state: &'static str,
}

/// All that ADD knows before it changes anything.
struct Found {
    function: Function,
    physical: u32,
    before: Vf,
    /// `None`: a program in the pod drives the device.
    link: Option<Link>,
}

impl Plugin for Sriov {
    fn name(&self) -> &'static str {
        "sriov"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let conf = read(input)?;
        let mac = mac_asked(input, at)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let store = Store(self.state.into());
        let _lock = store.lock(conf.device.as_str(), input.deadline)?;
        store.refuse_if_held(&conf.device)?;
        if pod.link(at.ifname.as_str()).told()?.is_some() {
            return Err(veth_pair::taken(&at.ifname));
        }
        lent::settle(&host)?;
        let found = find(&host, &conf.device)?;
        let mut undo = Undo::new(self.after_step);
        let call = Call { input, at, conf: &conf, mac, host: &host, pod: &pod, store: &store };
        let made = call.attach(&mut undo, &found, ipam.as_ref());
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        let mac = mac_asked(input, at)?;
        sole_link::check_ipam(input, at)?;
        let host = Net::here().told()?;
        let function = function::find(&conf.device, Sysfs::real())?;
        let (_, now) = ruled_by(&host, &function)?;
        if let Some(setting) = rules::changed(&conf.settings, mac, &now) {
            let text = format!("`{setting}` of the virtual function `{}` has changed", conf.device);
            return Err(CniError::check(text));
        }
        if sysfs::is_userspace(&function.path)? {
            return Ok(());
        }
        verify::any_interface(input, at)?.addresses_and_routes()
    }

    /// Works from the record of ADD; without one there are only the addresses to release.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let store = Store(self.state.into());
        sole_link::end(input, at, |teardown| {
            let record = store.read(at.container.as_str(), at.ifname.as_str());
            let over = |record: Option<Record>| match record {
                Some(record) => end(&store, &record, at.netns.as_deref(), input.deadline),
                None => Ok(()),
            };
            teardown.part(record.and_then(over));
        })
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        sole_link::status(input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        let store = Store(self.state.into());
        let mut teardown = Teardown::default();
        teardown.part(sole_link::gc(input, keep));
        for record in store.of_network(input.name.as_str()) {
            let lives = |id: &AttachmentId| id.container == record.container && id.ifname == record.ifname;
            if !keep.iter().any(lives) {
                teardown.part(end(&store, &record, Some(&record.netns), input.deadline));
            }
        }
        teardown.finish()
    }
}

fn read(input: &Input) -> Result<SriovConf, CniError> {
    SriovConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn mac_asked(input: &Input, at: &Attachment) -> Result<Option<Mac>, CniError> {
    let mac = requested(&input.config, &at.args, Sources::WithConfigKey);
    Ok(mac.map_err(|problem| problem.into_error(&input.name))?.map(|mac| Mac(mac.octets())))
}

fn find(host: &Net, device: &PciAddress) -> Result<Found, CniError> {
    let function = function::find(device, Sysfs::real())?;
    let link = match sysfs::is_userspace(&function.path)? {
        true => None,
        false => Some(link_of(host, &function.path)?),
    };
    let (physical, before) = ruled_by(host, &function)?;
    Ok(Found { function, physical, before, link })
}

fn link_of(host: &Net, function: &Path) -> Result<Link, CniError> {
    let name = sysfs::interface(function)?;
    let link = host.link(&name).told()?;
    link.ok_or_else(|| CniError::failed(format!("the link `{name}` has just disappeared; try again")))
}

fn ruled_by(host: &Net, function: &Function) -> Result<(u32, Vf), CniError> {
    let name = &function.physical;
    let physical = host.link(name).told()?;
    let physical = physical
        .ok_or_else(|| CniError::failed(format!("the physical function `{name}` has no link here")))?;
    let vf = host.vfs(physical.index).told()?.into_iter().find(|vf| vf.number == function.number);
    let missing = || {
        let number = function.number;
        CniError::failed(format!(
            "the physical function `{name}` reports nothing about its virtual function {number}"
        ))
    };
    Ok((physical.index, vf.ok_or_else(missing)?))
}

struct Call<'a> {
    input: &'a Input,
    at: &'a Attachment,
    conf: &'a SriovConf,
    mac: Option<Mac>,
    host: &'a Net,
    pod: &'a Net,
    store: &'a Store,
}

impl<'a> Call<'a> {
    fn attach(
        &self,
        undo: &mut Undo<'a>,
        found: &'a Found,
        ipam: Option<&Ipam<'a>>,
    ) -> Result<CniResult, CniError> {
        let (store, host, device) = (self.store, self.host, self.conf.device.as_str());
        let record = self.record(found);
        store.write(&record)?;
        let written = record.clone();
        undo.done("record", move || store.forget(&written))?;
        store.claim(device, &self.at.netns)?;
        undo.done("claim", move || store.release(device))?;
        let (physical, number) = (found.physical, found.function.number);
        let back = rules::original(&record);
        // Before the first of them, as the card may refuse one half way.
        undo.done("settings of the virtual function", move || rules::restore(host, physical, number, &back))?;
        let changes = rules::wanted(&self.conf.settings, self.mac, &found.before);
        rules::apply(host, physical, number, &changes)?;
        undo.passed("settings")?;
        let finish = Finish { settings: SETTINGS, announce: true, dns: Some(&self.conf.dns) };
        let mut result = match &found.link {
            None => self.without_link(undo, found, ipam)?,
            Some(link) => {
                let link = self.wear(undo, found, link)?;
                let borrower = Borrower { input: self.input, at: self.at };
                let link = lent::lend(undo, borrower, [host, self.pod], &link, &self.at.ifname)?;
                let addresses = Addresses::of(ipam);
                sole_link::furnish(undo, self.input, self.at, self.pod, &link, addresses, finish)?
            }
        };
        for interface in &mut result.interfaces {
            interface.pci_id = device.to_owned();
        }
        Ok(result)
    }

    fn record(&self, found: &Found) -> Record {
        let (settings, before) = (&self.conf.settings, &found.before);
        let state = before.link_state.map(|state| match state {
            VfState::Auto => 0,
            VfState::Enable => 1,
            VfState::Disable => 2,
        });
        let link = found.link.as_ref();
        Record {
            network: self.input.name.to_string(),
            container: self.at.container.to_string(),
            ifname: self.at.ifname.to_string(),
            netns: self.at.netns.clone(),
            device: self.conf.device.to_string(),
            name: link.map(|link| self.name_at_home(link).to_owned()).unwrap_or_default(),
            mac: link.and_then(|link| link.mac).map(|mac| mac.to_string()).unwrap_or_default(),
            mtu: link.map(|link| link.mtu).unwrap_or_default(),
            admin_mac: self.mac.map(|_| before.mac.to_string()),
            vlan: settings.vlan.map(|_| (before.vlan, before.qos, before.service_vlan)),
            rates: Record::rates_asked(settings).then_some((before.min_tx_rate, before.max_tx_rate)),
            spoof_check: settings.spoof_check.and(before.spoof_check),
            trust: settings.trust.and(before.trust),
            link_state: settings.link_state.and(state),
        }
    }

    /// A function that an older version lent may have come back under its name in the pod.
    fn name_at_home<'l>(&self, link: &'l Link) -> &'l str {
        unrecorded::stranded_as(link, &self.at.ifname).unwrap_or(&link.name)
    }

    /// Gives the link the address that is asked for, while it is still in the host.
    fn wear(&self, undo: &mut Undo<'a>, found: &'a Found, link: &Link) -> Result<Link, CniError> {
        let Some(mac) = self.mac.filter(|mac| link.mac != Some(*mac)) else { return Ok(link.clone()) };
        let (host, before) = (self.host, link.clone());
        let (path, device) = (&found.function.path, self.conf.device.as_str());
        undo.done("MAC address", move || {
            let was = address::Was { name: &before.name, mac: before.mac, mtu: before.mtu };
            address::restore(host, path, device, &link_of(host, path)?, &was)
        })?;
        address::put_on(host, &found.function.path, self.conf.device.as_str(), link, mac)
    }

    fn without_link(
        &self,
        undo: &mut Undo<'a>,
        found: &Found,
        ipam: Option<&Ipam<'a>>,
    ) -> Result<CniResult, CniError> {
        let mut result = match ipam {
            Some(ipam) => sole_link::lease(undo, ipam, self.at)?,
            None => CniResult::default(),
        };
        let mac = self.mac.or(Some(found.before.mac)).filter(|mac| !mac.is_zero());
        result.interfaces = vec![Interface {
            name: self.at.ifname.to_string(),
            mac: mac.map(|mac| mac.to_string()).unwrap_or_default(),
            sandbox: self.at.netns.to_string_lossy().into_owned(),
            ..Interface::default()
        }];
        result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
        dns::replace(&mut result, &self.conf.dns);
        Ok(result)
    }
}

/// Gives everything back, once. A device that another pod has by now is left alone.
fn end(store: &Store, record: &Record, netns: Option<&Path>, deadline: Instant) -> Result<(), CniError> {
    let _lock = store.lock(&record.device, deadline)?;
    let ours = store.holder(&record.device)?.is_none_or(|holder| holder == record.netns);
    if ours {
        give_back(record, netns, deadline)?;
        store.release(&record.device)?;
    }
    store.forget(record)
}

fn give_back(record: &Record, netns: Option<&Path>, deadline: Instant) -> Result<(), CniError> {
    let Ok(device) = record.device.parse::<PciAddress>() else { return Ok(()) };
    let host = Net::here().told()?;
    // A card that is gone has nothing to be restored.
    let Ok(function) = function::find(&device, Sysfs::real()) else { return Ok(()) };
    let (physical, _) = ruled_by(&host, &function)?;
    rules::restore(&host, physical, function.number, &rules::original(record))?;
    if record.name.is_empty() {
        return Ok(());
    }
    function::ensure_driver(&function.path, &record.device, Sysfs::real());
    let mac = record.mac.parse().ok();
    let key = [&*record.container, &*record.ifname, &*record.ifname];
    let lent = lent::take_back_one(&host, key, netns, deadline)?;
    if let (Outcome::NotRecorded, Some(pod)) = (lent, sandbox::find(netns)?)
        && let Some(link) = lent_by_older(record, &pod)?
    {
        lent::give_back(&host, &pod, &link, &record.name)?;
    }
    let link = returned(&host, &function.path, deadline)?;
    let was = address::Was { name: &record.name, mac, mtu: record.mtu };
    address::restore(&host, &function.path, &record.device, &link, &was)
}

/// The function's link in the pod, whatever it is called there: by its place in the machine, which no pod can change.
/// Kernels before 5.14 do not tell that.
fn lent_by_older(record: &Record, pod: &Net) -> Result<Option<Link>, CniError> {
    let is_it = |link: &Link| {
        link.kind.is_none()
            && match &link.parent_device {
                Some(device) => device.bus == "pci" && device.name == record.device,
                None => link.name == record.ifname && link.alias.as_deref() == Some(&record.name),
            }
    };
    Ok(pod.links().told()?.into_iter().find(is_it))
}

/// The device's link in the host, which may be on its way from a namespace that ends.
fn returned(host: &Net, function: &Path, deadline: Instant) -> Result<Link, CniError> {
    let until = deadline.min(Instant::now() + RETURN_PATIENCE);
    loop {
        match link_of(host, function) {
            Ok(link) => return Ok(link),
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(CniError { code: code::TRY_AGAIN, ..error }),
        }
    }
}
