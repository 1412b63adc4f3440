//! Devices in pods whose other end, or whose link below, goes elsewhere: the other end of a pair that is lent too, the card of a
//! VLAN. What they see at that end changes with the move, and they are known by it, so their records follow.

use manifold_cni::CniError;
use manifold_net::{Link, Net};

use super::home;
use crate::interface::failure::Told;
use crate::interface::record::NetnsMark;
use crate::interface::record::lent::{self, Lent};

/// A lent device that sees the link that moves.
pub(super) struct Kin {
    record: Lent,
    pod: Net,
    index: u32,
}

/// Those that see the link now, before it moves. One that cannot be looked at is left as it is.
pub(super) fn of(host: &Net, at: &Net, link: &Link) -> Vec<Kin> {
    let records = lent::all(host).unwrap_or_default();
    let by_place = records.into_iter().filter(Lent::is_known_by_its_place);
    by_place.filter_map(|record| find(record, at, link).ok().flatten()).collect()
}

fn find(record: Lent, at: &Net, link: &Link) -> Result<Option<Kin>, CniError> {
    let Some(pod) = home::reach(&record, None)? else { return Ok(None) };
    let Some(found) = home::find_in_pod(&record, &pod)? else { return Ok(None) };
    Ok(sees(&pod, &found, at, link)?.then_some(Kin { record, pod, index: found.index }))
}

fn sees(pod: &Net, seen: &Link, at: &Net, link: &Link) -> Result<bool, CniError> {
    let number = if NetnsMark::of(pod)? == NetnsMark::of(at)? { None } else { pod.number_of(at).told()? };
    Ok(seen.peer_or_parent == Some(link.index) && seen.link_netnsid == number)
}

/// The link is there now, and only what still sees it is what it was.
pub(super) fn follow(kin: Vec<Kin>, at: &Net, link: &Link) {
    for Kin { mut record, pod, index } in kin {
        let followed = (|| {
            let Some(now) = pod.link_by_index(index).told()? else { return Ok(()) };
            // Its own DEL may have brought it home meanwhile.
            if sees(&pod, &now, at, link)? && record.is_still_written()? {
                record.arrived(&now);
                record.write()?;
            }
            Ok::<(), CniError>(())
        })();
        if let Err(error) = followed {
            tracing::warn!(device = record.home.name, %error, "a device in a pod may not be recognised again");
        }
    }
}
