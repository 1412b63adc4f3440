//! `bandwidth`: how much a pod may receive and send (PLG-BW).
//!
//! What goes to the pod is limited where the host's end of its veth pair sends. What comes from the pod has to be
//! limited where it is sent too, so all of it is led through a link made for that (an ifb).

mod bucket;
mod ifb;

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Plugin, Version,
};
use manifold_net::{Link, Net};
use manifold_plugin_conf::BandwidthConf;
use manifold_plugin_conf::bandwidth::Limit;

use super::chained;
use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::masquerade::Key;
use crate::interface::sandbox;
use crate::interface::undo::{AfterStep, Undo};

const NAME: &str = "bandwidth";

#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    pub after_step: AfterStep,
}

impl Plugin for Bandwidth {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Older results list no interfaces, and the host's end is found by them.
    fn versions(&self) -> &'static [Version] {
        &[Version::V0_3_0, Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0]
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let mut result = chained::prev(input, NAME)?.clone();
        if conf.is_unlimited() {
            return Ok(result);
        }
        let host = Net::here().told()?;
        let port = host_end(&host, &sandbox::open(&at.netns)?, &result, at)?;
        let mut undo = Undo::new(self.after_step);
        let done = apply(&mut undo, &host, &conf, &port, &Key::of(input, at));
        if let Some(ifb) = undo.settle(done)? {
            result.interfaces.push(ifb);
        }
        Ok(result)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        let prev = chained::prev(input, NAME)?;
        if conf.is_unlimited() {
            return Ok(());
        }
        let host = Net::here().told()?;
        let port = host_end(&host, &sandbox::open(&at.netns)?, prev, at)?;
        if let Some(limit) = conf.ingress {
            check_limit(&host, &port, limit)?;
        }
        let Some(limit) = conf.egress else { return Ok(()) };
        let ifb = ifb::find(&host, &Key::of(input, at))?.ok_or_else(|| {
            CniError::check(format!("the link that limits what `{}` receives is gone", port.name))
        })?;
        if host.received_redirected_to(port.index).told()? != Some(ifb.index) {
            let text = format!(
                "what link `{}` receives is not redirected through link `{}` any more",
                port.name, ifb.name
            );
            return Err(CniError::check(text));
        }
        check_limit(&host, &ifb, limit)
    }

    /// The host's end takes its part with it.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        ifb::remove(&Net::here().told()?, &Key::of_detachment(input, at))
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        ifb::collect(&Net::here().told()?, &input.name, keep)
    }
}

fn read(input: &Input) -> Result<BandwidthConf, CniError> {
    BandwidthConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

/// The other end of the container's veth pair. It has to stand in the result, so that nobody else's link is limited.
fn host_end(host: &Net, pod: &Net, prev: &CniResult, at: &Attachment) -> Result<Link, CniError> {
    let inner = chained::link(pod, at)?;
    let refused = |why: &str| {
        let text = format!("bandwidth limits only veth pairs, and interface `{}` {why}", at.ifname);
        Err(CniError::config(text).details("fix: use it after `bridge` or `ptp`"))
    };
    if prev.interfaces.is_empty() {
        return refused("comes with a result that lists no interfaces");
    }
    let peer = inner.peer_or_parent.filter(|_| inner.is_kind("veth"));
    let Some(peer) = peer else { return refused("is none") };
    let told = |link: &Link| {
        link.is_kind("veth")
            && link.peer_or_parent == Some(inner.index)
            && prev.interfaces.iter().any(|told| told.sandbox.is_empty() && told.name == link.name)
    };
    match host.link_by_index(peer).told()?.filter(told) {
        Some(outer) => Ok(outer),
        None => refused("has no other end among the host's links in `prevResult`"),
    }
}

fn apply<'a>(
    undo: &mut Undo<'a>,
    host: &'a Net,
    conf: &BandwidthConf,
    port: &Link,
    key: &Key<'_>,
) -> Result<Option<Interface>, CniError> {
    let port_index = port.index;
    if let Some(limit) = conf.ingress {
        host.set_token_bucket(port_index, &bucket::of(limit)).told()?;
        undo.done("limit to the pod", move || gone_is_fine(host.clear_token_bucket(port_index)))?;
    }
    let Some(limit) = conf.egress else { return Ok(None) };
    let ifb = ifb::make(host, key, port)?;
    let ifb_index = ifb.index;
    undo.done("ifb", move || gone_is_fine(host.delete(ifb_index)))?;
    host.redirect_received(port_index, ifb_index).told()?;
    undo.done("redirection", move || gone_is_fine(host.clear_redirection(port_index)))?;
    host.set_token_bucket(ifb_index, &bucket::of(limit)).told()?;
    undo.passed("limit from the pod")?;
    let mac = ifb.mac.map(|mac| mac.to_string()).unwrap_or_default();
    Ok(Some(Interface { name: ifb.name, mac, ..Interface::default() }))
}

fn check_limit(host: &Net, link: &Link, limit: Limit) -> Result<(), CniError> {
    let wanted = bucket::of(limit);
    match host.token_bucket(link.index).told()? {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(CniError::check(format!(
            "link `{}` is limited to {} bytes a second with a queue of {} bytes, not to {} with {}",
            link.name, found.rate, found.limit, wanted.rate, wanted.limit
        ))),
        None => Err(CniError::check(format!("link `{}` is not limited any more", link.name))),
    }
}
