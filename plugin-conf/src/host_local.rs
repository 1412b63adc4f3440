//! `host-local`: addresses out of ranges, remembered in files (PLG-HL-1 to -6).

mod wishes;

use std::net::IpAddr;
use std::path::PathBuf;

use manifold_cni::convert::respell_route;
use manifold_cni::{CniArgs, RawObject, Route, Version};
use serde_json::value::RawValue;

use crate::ip_range::{IpRange, RangeSet, overlap};
use crate::problem::{Problem, plain};
use crate::requested::{self, Requested};
use crate::{address, fit, ipam, runtime};

pub use self::wishes::Wishes;

#[derive(Clone, Debug)]
pub struct HostLocalConf {
    /// In the order of the result's addresses. Their place is also the name of the set's round-robin counter.
    pub sets: Vec<RangeSet>,
    pub routes: Vec<Route>,
    /// Absolute.
    pub data_dir: PathBuf,
    pub resolv_conf: Option<PathBuf>,
    /// Every address asked for by name, whichever way: all of them must be given.
    pub requested: Vec<IpAddr>,
}

pub const KEYS: &[&str] = &[
    "type",
    "name",
    "ranges",
    "subnet",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dataDir",
    "resolvConf",
];

pub const DEFAULT_DATA_DIR: &str = "/var/lib/cni/networks";

/// The keys of CNI_ARGS that host-local knows.
pub const CNI_ARGS: &[&str] = &["IP"];

impl HostLocalConf {
    pub fn read(config: &RawObject, args: &CniArgs, version: Version) -> Result<Self, Problem> {
        let conf = Self::read_without_request(config, version)?;
        if conf.sets.is_empty() {
            let why = "host-local has no addresses to give out; add `ranges` with at least one `subnet`";
            return Err(Problem::new("/ipam/ranges", why));
        }
        Ok(Self { requested: requested_addresses(config, args)?, ..conf })
    }

    /// What holds for every attachment. Sets may be missing: the runtime can bring them with the ADD.
    pub fn read_without_request(config: &RawObject, version: Version) -> Result<Self, Problem> {
        let section = ipam::section(config)?;
        if section.is_empty() {
            return Err(Problem::new(
                "/ipam",
                "the configuration has no `ipam` section; add one with `ranges`",
            ));
        }
        let sets = all_sets(config, &section)?;
        apart(&sets)?;
        one_per_family(&sets, version)?;
        Ok(Self {
            sets: sets.into_iter().map(|(_, set)| set).collect(),
            routes: routes(&section)?,
            data_dir: path(&section, "dataDir")?.unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            resolv_conf: path(&section, "resolvConf")?,
            requested: Vec::new(),
        })
    }

    /// All that DEL, CHECK and GC need (PLG-HL-13): ranges that have become invalid must not keep a lease alive.
    pub fn data_dir(config: &RawObject) -> PathBuf {
        let section = ipam::section(config).unwrap_or_default();
        path(&section, "dataDir").ok().flatten().unwrap_or_else(|| DEFAULT_DATA_DIR.into())
    }
}

/// runtimeConfig first, then the legacy keys, then `ranges` (PLG-HL-2), each with its pointer.
pub(crate) fn all_sets(config: &RawObject, section: &RawObject) -> Result<Vec<(String, RangeSet)>, Problem> {
    let runtime = runtime::config(config)?;
    let mut sets = range_sets(&runtime, "ipRanges", "/runtimeConfig/ipRanges")?;
    let legacy = fit::key::<String>(section, "subnet").map_err(|p| p.under("/ipam"))?;
    if legacy.is_some_and(|raw| !raw.is_empty()) {
        sets.push(("/ipam".to_owned(), RangeSet::of_one(IpRange::read(section, "/ipam")?)));
    }
    sets.extend(range_sets(section, "ranges", "/ipam/ranges")?);
    Ok(sets)
}

fn range_sets(object: &RawObject, key: &str, place: &str) -> Result<Vec<(String, RangeSet)>, Problem> {
    let misfit = |at: String, e: serde_json::Error| Problem::new(at, plain(key, &e));
    let Some(raw) = object.get(key) else { return Ok(Vec::new()) };
    let sets: Option<Vec<Box<RawValue>>> =
        serde_json::from_str(raw.get()).map_err(|e| misfit(place.to_owned(), e))?;
    let read = |(n, set): (usize, Box<RawValue>)| {
        let here = format!("{place}/{n}");
        let ranges: Vec<RawObject> = serde_json::from_str(set.get()).map_err(|e| {
            let mut p = misfit(here.clone(), e);
            p.sentence.push_str("; each set is a list of ranges, as in `[[{\"subnet\": \"10.1.0.0/24\"}]]`");
            p
        })?;
        Ok((here.clone(), RangeSet::read(&ranges, &here)?))
    };
    sets.unwrap_or_default().into_iter().enumerate().map(read).collect()
}

pub(crate) fn apart(sets: &[(String, RangeSet)]) -> Result<(), Problem> {
    for (n, (place, set)) in sets.iter().enumerate() {
        for (_, earlier) in sets.iter().take(n) {
            let clash = set
                .ranges()
                .iter()
                .find_map(|a| earlier.ranges().iter().find(|b| a.overlaps(b)).map(|b| (a, b)));
            if let Some((a, b)) = clash {
                return Err(Problem::new(place.clone(), overlap(a, b)));
            }
        }
    }
    Ok(())
}

/// Results up to 0.2.0 hold one address of each family.
pub(crate) fn one_per_family(sets: &[(String, RangeSet)], version: Version) -> Result<(), Problem> {
    let (mut v4, mut v6) = (0, 0);
    for (place, set) in sets {
        let count = if set.is_ipv4() { &mut v4 } else { &mut v6 };
        *count += 1;
        if version <= Version::V0_2_0 && *count > 1 {
            return Err(Problem::new(place.clone(), too_many(version)));
        }
    }
    Ok(())
}

pub(crate) fn too_many(version: Version) -> String {
    format!(
        "CNI version `{version}` has room for one address of each family; use 0.3.0 or later, or fewer addresses"
    )
}

/// CNI_ARGS, then `args.cni.ips`, then `runtimeConfig.ips`: all of them (PLG-HL-6).
pub(crate) fn requested_addresses(config: &RawObject, args: &CniArgs) -> Result<Vec<IpAddr>, Problem> {
    let mut all: Vec<Requested> = requested::from_cni_args(args, "IP");
    all.extend(requested::from_args_cni(config)?);
    all.extend(requested::from_runtime_config(config)?);
    let mut found: Vec<IpAddr> = Vec::with_capacity(all.len());
    for request in &all {
        let ip = address::ip_or_cidr(&request.raw).map_err(|why| request.problem(&why))?;
        // Two sources may ask for the same address; that is one wish.
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    Ok(found)
}

pub(crate) fn routes(section: &RawObject) -> Result<Vec<Route>, Problem> {
    let raw: Vec<Box<RawValue>> =
        fit::key(section, "routes").map_err(|p| p.under("/ipam"))?.unwrap_or_default();
    let read = |(n, one): (usize, Box<RawValue>)| {
        route(&one).map_err(|e| {
            let why = plain("routes", &e);
            Problem::new(
                format!("/ipam/routes/{n}"),
                format!("{why}; a route is `{{\"dst\": \"10.0.0.0/8\"}}`"),
            )
        })
    };
    raw.into_iter().enumerate().map(read).collect()
}

fn route(raw: &RawValue) -> Result<Route, serde_json::Error> {
    let mut keys = serde_json::from_str(raw.get())?;
    respell_route(&mut keys);
    serde_json::from_value(keys.into())
}

/// A plugin's working folder is the runtime's business, so a relative path would mean something else each time.
pub(crate) fn path(section: &RawObject, key: &str) -> Result<Option<PathBuf>, Problem> {
    let Some(raw) = fit::key::<String>(section, key).map_err(|p| p.under("/ipam"))? else { return Ok(None) };
    match raw.as_str() {
        "" => Ok(None),
        _ if raw.contains('\0') => {
            Err(Problem::new(format!("/ipam/{key}"), format!("`{key}` has a NUL byte")))
        }
        _ if raw.starts_with('/') => Ok(Some(raw.into())),
        _ => {
            let why = format!(
                "`{key}` `{}` is relative; use a path that begins with `/`",
                manifold_cni::name::printable(&raw)
            );
            Err(Problem::new(format!("/ipam/{key}"), why))
        }
    }
}

#[cfg(test)]
mod tests;
