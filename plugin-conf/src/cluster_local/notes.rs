//! What works, but is probably not meant.

use manifold_cni::RawObject;
use manifold_cni::convert::ROUTE_KEYS;

use super::{AddressSource, ClusterLocalConf, KEYS, exclude};
use crate::ip_range::{self, RangeSet};
use crate::keys::{self, Owner};
use crate::problem::{Note, Problem, step};
use crate::{addressing, check, ipam};

/// Notes on a section that [`ClusterLocalConf::read_without_request`] accepts.
pub(crate) fn notes(config: &RawObject, conf: &ClusterLocalConf) -> Result<Vec<Note>, Problem> {
    let section = ipam::section(config)?;
    let mut notes = keys::unknown(&section, KEYS, "/ipam", super::TYPE, Owner::Ours);
    notes.extend(idle_keys(&section));
    notes.extend(of_ranges(&section));
    notes.extend(check::odd_case_inside(&section, &[("routes", ROUTE_KEYS)], "/ipam"));
    let sets: Vec<&RangeSet> = conf.sources.iter().filter_map(AddressSource::ranges).collect();
    let idle = exclude::read(&section)?.into_iter().filter(|e| !sets.iter().any(|set| e.touches(set)));
    if !sets.is_empty() {
        notes.extend(idle.map(|e| Note {
            pointer: format!("/ipam/exclude/{}", e.n),
            sentence: format!("`{}` touches no range, so it excludes nothing; remove or correct it", e.net),
        }));
        let has = |v4: bool| sets.iter().any(|set| set.is_ipv4() == v4);
        notes.extend(addressing::idle_routes(&conf.routes, has(true), has(false)));
    }
    Ok(notes)
}

impl AddressSource {
    fn ranges(&self) -> Option<&RangeSet> {
        if let Self::Inline(set) = self { Some(&set.ranges) } else { None }
    }
}

fn idle_keys(section: &RawObject) -> impl Iterator<Item = Note> {
    let beside = if section.contains("pools") { "`pools`" } else { "no `subnet`" };
    let keys = ["rangeStart", "rangeEnd", "gateway"];
    let idle = keys.into_iter().filter(|key| !section.contains("subnet") && section.contains(key));
    idle.map(move |key| Note {
        pointer: format!("/ipam{}", step(key)),
        sentence: format!(
            "`{key}` has {beside} beside it, so it has no effect; move it into a range or the pool"
        ),
    })
}

/// Keys of each range, and gateways inside a range that somebody bounded: it has one address less than it looks.
fn of_ranges(section: &RawObject) -> Vec<Note> {
    let sets: Vec<Vec<RawObject>> = section.get_as("ranges").ok().flatten().unwrap_or_default();
    let mut notes = gateway_inside(section, "/ipam");
    for (n, set) in sets.iter().enumerate() {
        for (m, range) in set.iter().enumerate() {
            let place = format!("/ipam/ranges/{n}/{m}");
            notes.extend(keys::unknown(range, ip_range::KEYS, &place, super::TYPE, Owner::Ours));
            notes.extend(gateway_inside(range, &place));
        }
    }
    notes
}

fn gateway_inside(raw: &RawObject, place: &str) -> Vec<Note> {
    let bounded = raw.contains("rangeStart") || raw.contains("rangeEnd");
    let Some(range) = ip_range::IpRange::read(raw, place).ok().filter(|_| bounded) else { return Vec::new() };
    let ends = [range.start, range.end].into_iter().filter_map(|ip| addressing::never_given(&range, ip));
    let mut notes: Vec<Note> = ends.map(|note| Note { pointer: place.to_owned(), ..note }).collect();
    if range.contains(range.gateway) {
        notes.push(Note {
            pointer: place.to_owned(),
            sentence: format!(
                "the range `{}`-`{}` holds the gateway `{}`, which no pod gets; begin or end the range beside it",
                range.start, range.end, range.gateway
            ),
        });
    }
    notes
}
