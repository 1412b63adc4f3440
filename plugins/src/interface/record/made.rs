//! A link that a plugin made in the pod: under which index, and where its other end in the host is.

use manifold_cni::{Attachment, AttachmentId, CniError, Detachment, Input};
use manifold_net::{Link, Net};
use serde::{Deserialize, Serialize};

use super::{NetnsMark, Record};
use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::undo::Undo;
use crate::state_file::Survives;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    network: String,
    container: String,
    ifname: String,
    host: NetnsMark,
    pod: NetnsMark,
    index: u32,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_end: Option<HostEnd>,
}

/// A veth's other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HostEnd {
    index: u32,
    name: String,
}

impl Record for Made {
    const KIND: &'static str = "made";
    /// The link does not survive more than that either.
    const SURVIVES: Survives = Survives::Kill;

    fn host(&self) -> &NetnsMark {
        &self.host
    }

    fn key(&self) -> [&str; 3] {
        [&self.container, &self.ifname, ""]
    }
}

impl Made {
    fn of(origin: Origin<'_>, pod: &Net, link: &Link, outer: Option<&Link>) -> Result<Self, CniError> {
        let Origin { input, at, host } = origin;
        Ok(Self {
            network: input.name.to_string(),
            container: at.container.to_string(),
            ifname: at.ifname.to_string(),
            host: NetnsMark::of(host)?,
            pod: NetnsMark::of(pod)?,
            index: link.index,
            kind: link.kind.clone().unwrap_or_default(),
            host_end: outer.map(|outer| HostEnd { index: outer.index, name: outer.name.clone() }),
        })
    }

    /// The link, whatever it is called by now, if this is the namespace that it was made in.
    pub(crate) fn find(&self, pod: &Net) -> Result<Option<Link>, CniError> {
        if NetnsMark::of(pod)? != self.pod {
            return Ok(None);
        }
        let link = pod.link_by_index(self.index).told()?;
        Ok(link.filter(|link| link.kind.as_deref().unwrap_or_default() == self.kind))
    }

    /// The host's end of the pair, if it is there.
    pub(crate) fn find_host_end(&self, host: &Net) -> Result<Option<Link>, CniError> {
        let Some(end) = &self.host_end else { return Ok(None) };
        let link = host.link_by_index(end.index).told()?.filter(|link| link.is_kind(&self.kind));
        // Where the pod moved its end to a namespace that had the index already, that end has another one.
        Ok(link.filter(|link| link.name == end.name || link.peer_or_parent == Some(self.index)))
    }

    pub(crate) fn forget(&self) -> Result<(), CniError> {
        super::forget::<Self>(&self.host, self.key())
    }
}

/// The link is made: it is written down, and goes with its record if a later step fails.
/// Whose link is made, and on which host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'m> {
    pub(crate) input: &'m Input,
    pub(crate) at: &'m Attachment,
    pub(crate) host: &'m Net,
}

/// The link is made: it is written down, and goes with its record if a later step fails.
pub(crate) fn keep<'a>(
    undo: &mut Undo<'a>,
    step: &'static str,
    origin: Origin<'_>,
    pod: &'a Net,
    link: &Link,
    outer: Option<&Link>,
) -> Result<(), CniError> {
    let index = link.index;
    let record = match Made::of(origin, pod, link, outer) {
        Ok(record) => record,
        Err(error) => {
            undo.done(step, move || gone_is_fine(pod.delete(index)))?;
            return Err(error);
        }
    };
    // A node whose `/var` is read-only still gets its pods: DEL then goes by the result, as of a link without a record.
    if let Err(error) = super::write(&record) {
        tracing::warn!(%error, link = link.name, "DEL will know this link by its MAC address only");
    }
    undo.done(step, move || {
        gone_is_fine(pod.delete(index))?;
        record.forget()
    })
}

/// What ADD wrote down of this attachment.
pub(crate) fn read(host: &Net, at: &Detachment) -> Result<Option<Made>, CniError> {
    let host = NetnsMark::of(host)?;
    let found = super::read(&host, key(at))?;
    if found.is_none() {
        super::remove_unfinished_write::<Made>(&host, key(at));
    }
    Ok(found)
}

/// The link is gone, and so is what was written down of it.
pub(crate) fn forget(host: &Net, at: &Detachment) -> Result<(), CniError> {
    super::forget::<Made>(&NetnsMark::of(host)?, key(at))
}

fn key(at: &Detachment) -> [&str; 3] {
    [at.container.as_str(), at.ifname.as_str(), ""]
}

/// Forgets the attachments of this network that are not in `keep`.
pub(crate) fn collect(input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
    let records: Vec<Made> = super::all(&NetnsMark::of(&Net::here().told()?)?)?;
    let of_network = records.iter().filter(|record| record.network == input.name.as_str());
    let lives =
        |record: &Made| keep.iter().any(|id| id.container == record.container && id.ifname == record.ifname);
    of_network.filter(|record| !lives(record)).try_for_each(Made::forget)
}
