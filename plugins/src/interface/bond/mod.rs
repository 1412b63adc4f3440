//! `bond`: several links as one of the pod's (PLG-BOND).
//!
//! Members of the host move into the pod; members in the container are those that networks before this one made.

mod members;

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Ipam, Plugin};
use manifold_net::{BondSpec, Link, Net, NewLink};
use manifold_plugin_conf::BondConf;

use super::announce::AFTER_DETECTION;
use super::failure::{Told, gone_is_fine};
use super::lent::{self, Borrower, Outcome};
use super::record::made::{self, Origin};
use super::sole_link::{self, Addresses, Finish};
use super::teardown::Teardown;
use super::undo::{AfterStep, Undo};
use super::{ownership, sandbox, verify, veth_pair};

const KIND: &str = "bond";
/// Milliseconds. Without a look at the carrier a bond would never leave a dead member.
const USUAL_MIIMON: u32 = 100;

#[derive(Clone, Copy, Debug)]
pub struct Bond {
    pub after_step: AfterStep,
}

impl Plugin for Bond {
    fn name(&self) -> &'static str {
        "bond"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let conf = read(input)?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        if pod.link(at.ifname.as_str()).told()?.is_some() {
            return Err(veth_pair::taken(&at.ifname));
        }
        lent::settle(&host)?;
        let found = members::find(&conf, &host, &pod)?;
        let mut undo = Undo::new(self.after_step);
        let made = make(&mut undo, Borrower { input, at }, [&host, &pod], &conf, found).and_then(|link| {
            let finish = Finish { settings: &[AFTER_DETECTION], announce: true, dns: Some(&conf.dns) };
            sole_link::furnish(&mut undo, input, at, &pod, &link, Addresses::of(ipam.as_ref()), finish)
        });
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        // Where the MAC address follows the active member, it is not the one that the result told.
        let follows = conf.fail_over_mac.is_some_and(|n| n != 0);
        let found = if follows { verify::located(input, at)? } else { verify::any_interface(input, at)? };
        found.kind(KIND)?;
        found.up()?;
        if found.link.bond_mode != Some(conf.mode.number()) {
            return Err(CniError::check(format!("bond `{}` is not in its mode any more", at.ifname)));
        }
        for name in &conf.links {
            let member = found.pod.link(name.as_str()).told()?;
            if member.is_none_or(|member| member.master != Some(found.link.index)) {
                let text = format!("bond `{}` has lost its member `{name}`", at.ifname);
                return Err(CniError::check(text));
            }
        }
        found.mtu(conf.mtu)?;
        found.addresses_and_routes()
    }

    /// Needs neither the members nor a configuration that still fits.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        sole_link::end(input, at, |teardown| {
            let pod = sandbox::find(at.netns.as_deref());
            teardown.part(pod.and_then(|pod| take_apart(input, at, pod.as_ref())));
        })
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

fn read(input: &Input) -> Result<BondConf, CniError> {
    BondConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn make<'a>(
    undo: &mut Undo<'a>,
    borrower: Borrower<'_>,
    [host, pod]: [&'a Net; 2],
    conf: &BondConf,
    members: Vec<Link>,
) -> Result<Link, CniError> {
    let Borrower { input, at } = borrower;
    let members = members::bring(undo, borrower, [host, pod], conf, members)?;
    let new = NewLink { name: at.ifname.as_str(), mtu: conf.mtu.get(), ..NewLink::default() };
    let bond = match pod.add_bond(&new, &spec(conf)) {
        Err(error) if error.is_exists() => return Err(veth_pair::taken(&at.ifname)),
        made => made.told()?,
    };
    let index = bond.index;
    made::keep(undo, "bond", Origin { input, at, host }, pod, &bond, None)?;
    members::join(undo, pod, &bond, &members)?;
    // Its MAC address came with the first member.
    let bond = pod.link_by_index(index).told()?;
    bond.ok_or_else(|| CniError::failed(format!("the bond `{}` disappeared immediately", at.ifname)))
}

fn spec(conf: &BondConf) -> BondSpec {
    BondSpec {
        mode: conf.mode.number(),
        miimon: Some(conf.miimon.unwrap_or(USUAL_MIIMON)),
        fail_over_mac: Some(conf.fail_over_mac.unwrap_or(0)),
        all_members_active: conf.all_slaves_active,
        tlb_dynamic_lb: conf.tlb_dynamic_lb,
        xmit_hash_policy: conf.xmit_hash_policy,
    }
}

fn take_apart(input: &Input, at: &Detachment, pod: Option<&Net>) -> Result<(), CniError> {
    let host = Net::here().told()?;
    let (names, in_container) = BondConf::members_leniently(&input.config);
    // What is not done of one part must not keep the host's cards in the pod.
    let mut teardown = Teardown::default();
    teardown.part(pod.map_or(Ok(()), |pod| remove_bond(input, at, &host, pod)));
    teardown.part(made::forget(&host, at));
    let taken_back = lent::take_back(&host, at, input.deadline);
    teardown.part(taken_back.and_then(|outcome| match (outcome, pod) {
        (Outcome::NotRecorded, Some(pod)) if !in_container => {
            members::give_back_unrecorded(&host, pod, &names)
        }
        _ => Ok(()),
    }));
    teardown.finish()
}

fn remove_bond(input: &Input, at: &Detachment, host: &Net, pod: &Net) -> Result<(), CniError> {
    let Some(bond) = ownership::find_bond(input, at, host, pod)? else { return Ok(()) };
    gone_is_fine(pod.set_down(bond.index))?;
    members::release(pod, &bond)?;
    gone_is_fine(pod.delete(bond.index))
}
