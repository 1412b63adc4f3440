//! How a lent device comes back: out of its pod, or under its own name where the kernel returned it.

use std::path::Path;
use std::time::{Duration, Instant};

use manifold_cni::{AttachmentId, CniError, Detachment, Input, code};
use manifold_net::{Link, LinkChange, Net};

use super::kin;
use crate::interface::failure::Told;
use crate::interface::record::NetnsMark;
use crate::interface::record::lent::{self, Lent};
use crate::interface::sandbox;
use crate::interface::teardown::Teardown;

/// The kernel ends a namespace a moment after its last user, and only then returns its devices.
const RETURN_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What DEL found of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the host, or it is no more.
    Over,
    /// ADD wrote nothing down.
    NotRecorded,
}

/// Brings every device of the attachment home.
pub(crate) fn take_back(host: &Net, at: &Detachment, deadline: Instant) -> Result<Outcome, CniError> {
    let ours =
        |record: &Lent| record.container == at.container.as_str() && record.ifname == at.ifname.as_str();
    let records: Vec<Lent> = lent::all(host)?.into_iter().filter(ours).collect();
    let mut teardown = Teardown::default();
    for record in &records {
        teardown.part(bring_home(host, record, at.netns.as_deref(), deadline));
    }
    teardown.finish()?;
    Ok(if records.is_empty() { Outcome::NotRecorded } else { Outcome::Over })
}

/// The same for an attachment of one device, which is named by container, interface, and name in the pod.
pub(crate) fn take_back_one(
    host: &Net,
    key: [&str; 3],
    netns: Option<&Path>,
    deadline: Instant,
) -> Result<Outcome, CniError> {
    match lent::read(host, key)? {
        Some(record) => bring_home(host, &record, netns, deadline).map(|()| Outcome::Over),
        None => Ok(Outcome::NotRecorded),
    }
}

/// GC: brings home what attachments of this network have that are not in `keep`.
pub(crate) fn collect(input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
    let host = Net::here().told()?;
    let lives =
        |record: &Lent| keep.iter().any(|id| id.container == record.container && id.ifname == record.ifname);
    let mut teardown = Teardown::default();
    for record in lent::all(&host)? {
        if record.network == input.name.as_str() && !lives(&record) {
            teardown.part(bring_home(&host, &record, Some(&record.netns), input.deadline));
        }
    }
    teardown.finish()
}

/// ADD: devices that the kernel returned from a pod that vanished get their names again. One whose name is taken waits.
pub(crate) fn settle(host: &Net) -> Result<(), CniError> {
    let records = lent::all(host)?;
    if records.is_empty() {
        return Ok(());
    }
    let links = host.links().told()?;
    for record in &records {
        let stray = |link: &&Link| link.name != record.home.name && record.is_in_host(link);
        let Some(link) = links.iter().find(stray) else { continue };
        match at_home(host, record, link).and_then(|()| record.forget()) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(device = record.home.name, %error, "a device stays under another name");
            }
        }
    }
    Ok(())
}

pub(super) fn find_in_pod(record: &Lent, pod: &Net) -> Result<Option<Link>, CniError> {
    Ok(pod.links().told()?.into_iter().find(|link| record.is_in_pod(link)))
}

pub(super) fn find_in_host(record: &Lent, host: &Net) -> Result<Option<Link>, CniError> {
    Ok(host.links().told()?.into_iter().find(|link| record.is_in_host(link)))
}

impl Lent {
    /// Whether the device has a link, in whatever namespace: the folder is there, with only what this one sees in it.
    pub(super) fn is_elsewhere(&self) -> bool {
        let Some(device) = self.hardware() else { return false };
        device.join("net").exists()
    }
}

/// Looks in the pod and in the host, and waits for the kernel where it must be on its way.
fn bring_home(host: &Net, record: &Lent, netns: Option<&Path>, deadline: Instant) -> Result<(), CniError> {
    let pod = reach(record, netns)?;
    let until = deadline.min(Instant::now() + RETURN_PATIENCE);
    loop {
        if let Some(pod) = &pod
            && let Some(link) = find_in_pod(record, pod)?
            && out_of_pod(host, pod, record, &link)?
        {
            return record.forget();
        }
        if let Some(link) = find_in_host(record, host)? {
            at_home(host, record, &link)?;
            return record.forget();
        }
        if !record.is_elsewhere() {
            return record.forget(); // It went with its namespace, or was taken out of the machine.
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let name = &record.home.name;
    match pod {
        Some(_) => Err(CniError::new(
            code::TRY_AGAIN,
            format!(
                "the device `{name}` of the host is in another namespace, to which the container moved it; it comes back when that one ends"
            ),
        )),
        // The kernel returns it once nobody uses the namespace any more. Its record stays, so the next ADD knows it.
        None => {
            tracing::warn!(
                device = name,
                "the namespace of the pod is gone, and its device has not come back yet"
            );
            Ok(())
        }
    }
}

/// The pod's namespace, by the path that DEL has or that ADD had; never another one that has taken the path.
pub(super) fn reach(record: &Lent, netns: Option<&Path>) -> Result<Option<Net>, CniError> {
    let is_it = |pod: &Net| NetnsMark::of(pod).map(|mark| mark == record.pod);
    if let Some(pod) = sandbox::find(netns)?
        && is_it(&pod)?
    {
        return Ok(Some(pod));
    }
    match sandbox::find(Some(&record.netns)).ok().flatten() {
        Some(pod) if is_it(&pod)? => Ok(Some(pod)),
        _ => Ok(None),
    }
}

/// Down, under its name in the host, as it was.
fn out_of_pod(host: &Net, pod: &Net, record: &Lent, link: &Link) -> Result<bool, CniError> {
    free(host, &record.home.name, None)?;
    let kin = kin::of(host, pod, link);
    if !give_back(host, pod, link, &record.home.name)? {
        return Ok(false);
    }
    if let Some(link) = host.link(&record.home.name).told()? {
        kin::follow(kin, host, &link);
        restore(host, record, &link);
    }
    Ok(true)
}

/// Moves a link to the host under that name, down. `false`: it has left the pod by itself.
pub(crate) fn give_back(host: &Net, pod: &Net, link: &Link, name: &str) -> Result<bool, CniError> {
    let back = LinkChange { name: Some(name), alias: Some(""), up: Some(false), ..LinkChange::default() };
    match pod.move_changed(link.index, host.netns(), &back) {
        Err(error) if error.is_not_found() => Ok(false),
        other => other.told().map(|()| true),
    }
}

/// It is in the host already, perhaps under its name in the pod.
fn at_home(host: &Net, record: &Lent, link: &Link) -> Result<(), CniError> {
    let name = record.home.name.as_str();
    if link.name != name {
        free(host, name, Some(link.index))?;
        let back = LinkChange { name: Some(name), alias: Some(""), up: Some(false), ..LinkChange::default() };
        host.change(link.index, &back).told()?;
    } else if link.alias.as_deref() == Some(name) {
        host.set_alias(link.index, "").told()?;
    }
    restore(host, record, link);
    Ok(())
}

/// The address and the MTU it had. A card that refuses is at home all the same.
fn restore(host: &Net, record: &Lent, link: &Link) {
    let mac = record.home.mac.parse().ok().filter(|mac| link.mac != Some(*mac));
    let mtu = Some(record.home.mtu).filter(|mtu| *mtu != link.mtu);
    for change in [LinkChange { mac, ..LinkChange::default() }, LinkChange { mtu, ..LinkChange::default() }] {
        if change != LinkChange::default()
            && let Err(error) = host.change(link.index, &change)
        {
            tracing::warn!(device = record.home.name, %error, "a device came back changed");
        }
    }
}

/// Whether no other link than the one of index `own` has the name.
pub(super) fn free(host: &Net, name: &str, own: Option<u32>) -> Result<(), CniError> {
    match host.link(name).told()? {
        Some(link) if Some(link.index) != own => Err(CniError::failed(format!(
            "the host now has another link `{name}`, which is the name of the device that returns; rename one of them"
        ))),
        _ => Ok(()),
    }
}
