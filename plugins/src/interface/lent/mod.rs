//! A link of the host that a pod has for a while: how it goes there, under which name, and how it comes back.
//!
//! What it is and what it is called at home is written down before the move ([`super::record::lent`]), so it is known
//! again whatever the pod made of it, and so is whoever was killed half way. The kernel moves, renames and labels in one
//! step. The label, its name at home, is for people and for the reference's plugin; nothing here believes it, except of
//! hardware that an older version lent ([`unrecorded`]).

mod home;
mod kin;
pub(crate) mod unrecorded;

use manifold_cni::{Attachment, CniError, IfName, Input};
use manifold_net::{AddressOptions, IpNet, Link, LinkChange, Net};

use super::failure::Told;
use super::record::NetnsMark;
use super::record::lent::{self, Lent};
use super::undo::Undo;
use super::veth_pair;
pub(crate) use home::{Outcome, collect, give_back, settle, take_back, take_back_one};

/// Whose device it is going to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borrower<'m> {
    pub(crate) input: &'m Input,
    pub(crate) at: &'m Attachment,
}

/// Moves the link into the pod, where it arrives down; a later failure brings it back as it was.
pub(crate) fn lend<'a>(
    undo: &mut Undo<'a>,
    borrower: Borrower<'_>,
    [host, pod]: [&'a Net; 2],
    link: &Link,
    name: &IfName,
) -> Result<Link, CniError> {
    if pod.link(name.as_str()).told()?.is_some() {
        return Err(veth_pair::taken(name));
    }
    let earlier: Vec<Lent> = lent::all(host)?.into_iter().filter(|old| old.is_in_host(link)).collect();
    let home = earlier.first().map_or_else(
        || unrecorded::stranded_as(link, name).unwrap_or(&link.name),
        |old| old.home.name.as_str(),
    );
    let mut record = Lent::of(borrower.input, borrower.at, [host, pod], link, name.as_str(), home)?;
    refuse_second(&record, host, pod)?;
    let addresses: Vec<IpNet> = host.addresses(link.index).told()?.into_iter().map(|a| a.ip).collect();
    record.write()?;
    let (before, written) = (link.clone(), record.clone());
    let kin = kin::of(host, host, link);
    let change = LinkChange { name: Some(name.as_str()), alias: Some(home), ..LinkChange::default() };
    let moved = host.move_changed(link.index, pod.netns(), &change);
    // Also where the move is reported as failed, it may have gone half way.
    undo.done("device in the pod", move || {
        return_as_it_was(host, pod, &before, &written, &addresses)?;
        written.forget()
    })?;
    moved.told()?;
    // What other attachments wrote down of the device is over, now that it is known that no other ADD took it meanwhile.
    earlier.iter().filter(|old| !old.is_same_attachment(&record)).try_for_each(Lent::forget)?;
    let arrived = pod.link(name.as_str()).told()?;
    let arrived = arrived
        .ok_or_else(|| CniError::failed(format!("the device `{home}` did not arrive in the container")))?;
    record.arrived(&arrived);
    record.write()?;
    kin::follow(kin, pod, &arrived);
    Ok(arrived)
}

/// An attachment that still has a device from an earlier ADD must give it back first, or that one would be forgotten.
fn refuse_second(new: &Lent, host: &Net, pod: &Net) -> Result<(), CniError> {
    let key = [&*new.container, &*new.ifname, &*new.name_in_pod];
    let Some(old) = lent::read(host, key)? else { return Ok(()) };
    let has_it = NetnsMark::of(pod)? == old.pod && home::find_in_pod(&old, pod)?.is_some();
    if !has_it && (!old.is_elsewhere() || home::find_in_host(&old, host)?.is_some()) {
        return Ok(());
    }
    Err(CniError::failed(format!(
        "interface `{}` of this container has the device `{}` of the host already, under another name; detach it first",
        new.ifname, old.home.name
    )))
}

fn return_as_it_was(
    host: &Net,
    pod: &Net,
    before: &Link,
    record: &Lent,
    addresses: &[IpNet],
) -> Result<(), CniError> {
    if host.link_by_index(before.index).told()?.is_some_and(|link| link.name == before.name) {
        return Ok(()); // It never left.
    }
    let Some(link) = home::find_in_pod(record, pod)? else {
        let is_lost = record.is_elsewhere() && home::find_in_host(record, host)?.is_none();
        let text = || format!("the device `{}` is neither in the container nor in the host", before.name);
        return if is_lost { Err(CniError::failed(text())) } else { Ok(()) };
    };
    let alias = before.alias.as_deref().unwrap_or_default();
    let back = LinkChange { name: Some(&before.name), alias: Some(alias), ..LinkChange::default() };
    let kin = kin::of(host, pod, &link);
    pod.move_changed(link.index, host.netns(), &back).told()?;
    let Some(link) = host.link(&before.name).told()? else { return Ok(()) };
    kin::follow(kin, host, &link);
    if before.up {
        host.set_up(link.index).told()?;
    }
    // IPv6 makes link-local ones by itself.
    for address in
        addresses.iter().filter(|a| !matches!(a, IpNet::V6(v6) if v6.addr().is_unicast_link_local()))
    {
        match host.add_address(link.index, *address, AddressOptions::default()) {
            Err(error) if error.is_exists() => {}
            other => other.told()?,
        }
    }
    Ok(())
}
