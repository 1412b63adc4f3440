//! `dummy`: the pod gets an interface that leads nowhere, for its addresses (PLG-DUMMY).

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Ipam, Plugin};
use manifold_net::{Link, Net, NewLink};
use manifold_plugin_conf::DummyConf;

use super::failure::Told;
use super::record::made::{self, Origin};
use super::sole_link::{self, Addresses, Finish};
use super::undo::{AfterStep, Undo};
use super::{sandbox, verify, veth_pair};

const KIND: &str = "dummy";

#[derive(Clone, Copy, Debug)]
pub struct Dummy {
    pub after_step: AfterStep,
}

impl Plugin for Dummy {
    fn name(&self) -> &'static str {
        "dummy"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        read(input)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let mut undo = Undo::new(self.after_step);
        let finish = Finish { settings: &[], announce: false, dns: None };
        let made = make(&mut undo, Origin { input, at, host: &host }, &pod).and_then(|link| {
            sole_link::furnish(&mut undo, input, at, &pod, &link, Addresses::of(ipam.as_ref()), finish)
        });
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        read(input)?;
        sole_link::check_ipam(input, at)?;
        let found = verify::interface(input, at, KIND)?;
        found.up()?;
        found.addresses_and_routes()
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        sole_link::del(input, at, KIND)
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        sole_link::status(input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        sole_link::gc(input, keep)
    }
}

fn read(input: &Input) -> Result<DummyConf, CniError> {
    DummyConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn make<'a>(undo: &mut Undo<'a>, origin: Origin<'_>, pod: &'a Net) -> Result<Link, CniError> {
    let at = origin.at;
    let link = match pod.add_dummy(&NewLink { name: at.ifname.as_str(), ..NewLink::default() }) {
        Err(error) if error.is_exists() => return Err(veth_pair::taken(&at.ifname)),
        made => made.told()?,
    };
    made::keep(undo, "dummy", origin, pod, &link, None)?;
    Ok(link)
}
