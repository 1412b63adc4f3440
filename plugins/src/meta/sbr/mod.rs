//! `sbr`: what leaves from an interface's address leaves by that interface, whatever the main table says (PLG-SBR).
//!
//! Each address gets a rule to a table of its own, and the interface's routes move there. With a `table` that somebody
//! else fills there are only the rules.

mod plan;

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use ipnet::IpNet;
use manifold_cni::{Attachment, CniError, CniResult, Detachment, Input, Plugin};
use manifold_net::{Family, Link, Net, RouteAdd, RouteFilter, Rule};
use manifold_plugin_conf::SbrConf;

use self::plan::Plan;
use super::chained;
use crate::file_lock::{self, Lock};
use crate::interface::failure::{Told, gone_is_fine};
use crate::interface::sandbox;
use crate::interface::teardown::Teardown;
use crate::interface::undo::{AfterStep, Undo};

const NAME: &str = "sbr";

#[derive(Clone, Copy, Debug)]
pub struct Sbr {
    pub after_step: AfterStep,
}

impl Plugin for Sbr {
    fn name(&self) -> &'static str {
        NAME
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let prev = chained::prev(input, NAME)?;
        let conf = read(input)?;
        let ips: Vec<_> = chained::addresses(prev, at.ifname.as_str()).cloned().collect();
        if ips.is_empty() {
            let text =
                format!("`prevResult` has no address of interface `{}`, by which sbr could route", at.ifname);
            return Err(CniError::config(text));
        }
        let pod = sandbox::open(&at.netns)?;
        let _lock = lock(&at.netns, input.deadline)?;
        let link = chained::link(&pod, at)?;
        let plan = match conf.table {
            Some(table) => Plan::rules_only(&ips, table.get()),
            None => Plan::new(&link, &ips, &conf, &rules(&pod)?, &pod.routes(RouteFilter::default()).told()?),
        };
        let mut undo = Undo::new(self.after_step);
        let done = apply(&mut undo, &pod, &plan);
        undo.settle(done)?;
        Ok(prev.clone())
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let prev = chained::prev(input, NAME)?;
        let conf = read(input)?;
        let pod = sandbox::open(&at.netns)?;
        let (rules, routes) = (rules(&pod)?, pod.routes(RouteFilter::default()).told()?);
        for ip in chained::addresses(prev, at.ifname.as_str()) {
            let source = chained::alone(ip);
            let rule = rules.iter().find(|rule| leads(rule, source, conf.table.map(|table| table.get())));
            let Some(rule) = rule else {
                let text = format!("no rule routes by the source address `{source}` any more");
                return Err(CniError::check(text));
            };
            // A single address without a gateway may have no route at all.
            let has_routes = plan::gateway(ip, &conf).is_some() || ip.address != source;
            let gone = !routes.iter().any(|route| route.table == Some(rule.table));
            if conf.table.is_none() && has_routes && gone {
                let text =
                    format!("the routes of source address `{source}` in table {} are gone", rule.table);
                return Err(CniError::check(text));
            }
        }
        Ok(())
    }

    /// The interface is mostly still there, as DEL runs in reverse; its routes go with it.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        let Some(pod) = sandbox::find(at.netns.as_deref())? else { return Ok(()) };
        let Some(path) = at.netns.as_deref() else { return Ok(()) };
        let _lock = lock(path, input.deadline)?;
        let table = SbrConf::read_leniently(&input.config).table.map(|table| table.get());
        let addresses = addresses(input, at, &pod)?;
        let mut teardown = Teardown::default();
        for rule in rules(&pod)? {
            if addresses.iter().any(|ip| leads(&rule, *ip, table)) {
                teardown.part(gone_is_fine(pod.del_rule(&rule)));
            }
        }
        teardown.finish()
    }
}

fn read(input: &Input) -> Result<SbrConf, CniError> {
    SbrConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

/// Free tables are looked for and then taken: two calls for one pod must not do that at the same time. The lock is the
/// namespace itself, as it is the reference's.
fn lock(netns: &Path, deadline: Instant) -> Result<Lock, CniError> {
    let file = File::open(netns).map_err(file_lock::LockError::from);
    file.and_then(|file| file_lock::take(file, deadline)).map_err(|error| {
        let text = format!("the namespace `{}` cannot be locked ({error})", netns.display());
        CniError::refused(error.errno(), text)
    })
}

fn rules(pod: &Net) -> Result<Vec<Rule>, CniError> {
    let mut rules = pod.rules(Family::V4).told()?;
    rules.extend(pod.rules(Family::V6).told()?);
    Ok(rules)
}

/// Whether the rule is about that source address (and leads to that table, if one is given).
fn leads(rule: &Rule, source: IpNet, table: Option<u32>) -> bool {
    rule.src == Some(source) && table.is_none_or(|table| table == rule.table)
}

/// What the interface has, and what it had by the result; either may be all that is left.
fn addresses(input: &Input, at: &Detachment, pod: &Net) -> Result<Vec<IpNet>, CniError> {
    let prev = input.prev_result.iter().flat_map(|prev| chained::addresses(prev, at.ifname.as_str()));
    let mut addresses: Vec<IpNet> = prev.map(chained::alone).collect();
    if let Some(Link { index, .. }) = pod.link(at.ifname.as_str()).told()? {
        addresses.extend(pod.addresses(index).told()?.iter().map(|address| IpNet::from(address.ip.addr())));
    }
    Ok(addresses)
}

fn apply<'a>(undo: &mut Undo<'a>, pod: &'a Net, plan: &Plan) -> Result<(), CniError> {
    for way in &plan.ways {
        let rule = Rule::from_source(way.source, way.table);
        pod.add_rule(&rule).told()?;
        undo.done("rule", move || gone_is_fine(pod.del_rule(&rule)))?;
        for route in &way.routes {
            pod.add_route(route, RouteAdd::Replace).told()?;
            let route = route.clone();
            undo.done("route by source", move || gone_is_fine(pod.del_route(&route)))?;
        }
    }
    for (old, hinted) in &plan.hinted {
        // A hint only helps: an interface without it works as it did.
        let added = pod.add_route(hinted, RouteAdd::Append).and_then(|()| pod.del_route(old));
        match added {
            Ok(()) => {
                let (old, hinted) = (old.clone(), hinted.clone());
                undo.done("source hint", move || {
                    pod.add_route(&old, RouteAdd::Append).told()?;
                    gone_is_fine(pod.del_route(&hinted))
                })?;
            }
            Err(error) => tracing::warn!(%error, "a route got no source hint"),
        }
    }
    // Gateways first: a route through one cannot be restored before that to its link.
    for route in &plan.moved {
        gone_is_fine(pod.del_route(route))?;
        let route = route.clone();
        undo.done("moved route", move || match pod.add_route(&route, RouteAdd::Append) {
            Err(error) if error.is_exists() => Ok(()),
            restored => restored.told(),
        })?;
    }
    Ok(())
}
