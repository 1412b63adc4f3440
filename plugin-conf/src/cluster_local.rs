//! `cluster-local`: addresses that are given once in the whole cluster. Host-local's keys, or pools by name (IPAM-1 to -4).
//!
//! An inline range and an AddressPool come out alike, as [`Pool`](manifold_addresses::pool::Pool)s: who gives addresses need not know which it was.

use std::net::IpAddr;
use std::path::PathBuf;

use manifold_cni::{CniArgs, RawObject, Route, Version};
use manifold_crds::ipam::{Domain, PoolName};
use manifold_crds::nad::NadRef;

use crate::host_local::{all_sets, apart, one_per_family, path, requested_addresses, routes};
use crate::ip_range::RangeSet;
use crate::problem::{Problem, step};
use crate::{fit, ipam};

mod exclude;
mod inline;
mod notes;
mod requests;

pub use exclude::Exclusion;
pub use inline::{InlinePool, InlineSet};
pub use requests::assign;

pub(crate) use notes::notes;

/// The `type` of the section.
pub const TYPE: &str = "cluster-local";

/// Keys of the section.
pub const KEYS: &[&str] = &[
    "type",
    "name",
    "ranges",
    "subnet",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "resolvConf",
    "pools",
    "exclude",
    "domain",
];

/// The keys of CNI_ARGS that it knows.
pub const CNI_ARGS: &[&str] = &["IP"];

/// What a section with this type says.
#[derive(Clone, Debug)]
pub struct ClusterLocalConf {
    /// One address from each, in the order of the result. Never empty, unless the runtime brings the ranges.
    pub sources: Vec<AddressSource>,
    /// Of the definition; a pool by name adds its own.
    pub routes: Vec<Route>,
    /// Where the nameservers of the result stand.
    pub resolv_conf: Option<PathBuf>,
    /// Every address asked for by name, whichever way: all of them must be given. See [`assign`].
    pub requested: Vec<IpAddr>,
}

/// Where one address of an attachment comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// The AddressPool of that name.
    Pool(PoolName),
    /// The definition's own ranges.
    Inline(InlineSet),
}

impl ClusterLocalConf {
    /// What holds for one attachment.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn read(config: &RawObject, args: &CniArgs, version: Version) -> Result<Self, Problem> {
        let conf = Self::read_without_request(config, version)?;
        if conf.sources.is_empty() {
            let why = "cluster-local has no addresses to give out; add `ranges` with at least one `subnet`, or name `pools`";
            return Err(Problem::new("/ipam/ranges", why));
        }
        Ok(Self { requested: requested_addresses(config, args)?, ..conf })
    }

    /// What holds for every attachment. Sources may be missing: the runtime can bring ranges with the ADD.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn read_without_request(config: &RawObject, version: Version) -> Result<Self, Problem> {
        let section = ipam::section(config)?;
        if section.is_empty() {
            let why = "the configuration has no `ipam` section; add one with `ranges` or `pools`";
            return Err(Problem::new("/ipam", why));
        }
        refuse_data_dir(&section)?;
        let sources = match pools(&section)? {
            Some(names) => {
                alone(config, &section)?;
                names.into_iter().map(AddressSource::Pool).collect()
            }
            None => inline_sources(config, &section, version)?,
        };
        let (routes, resolv_conf) = (routes(&section)?, path(&section, "resolvConf")?);
        Ok(Self { sources, routes, resolv_conf, requested: Vec::new() })
    }

    /// The pools of the definition's own ranges, in order. The place of each in it is the `n` of [`inline_pool_name`].
    pub fn inline_pools(&self) -> impl Iterator<Item = &InlinePool> {
        self.sources.iter().flat_map(|source| match source {
            AddressSource::Pool(_) => &[][..],
            AddressSource::Inline(set) => &set.pools[..],
        })
    }
}

/// The name of the AddressPool that shows a definition's own ranges: `namespace.definition`, and the number of the pool
/// where it is not the first. None where that is longer than a name may be.
pub fn inline_pool_name(definition: &NadRef, n: usize) -> Option<PoolName> {
    let NadRef { namespace, name } = definition;
    let whole = if n == 0 { format!("{namespace}.{name}") } else { format!("{namespace}.{name}.{n}") };
    whole.parse().ok()
}

fn refuse_data_dir(section: &RawObject) -> Result<(), Problem> {
    if path(section, "dataDir")?.is_none() {
        return Ok(());
    }
    let why =
        "`dataDir` is a key of host-local; cluster-local keeps its files beside Manifold's own, so remove it";
    Err(Problem::new("/ipam/dataDir", why))
}

/// None where the key is missing: the addresses are inline then.
fn pools(section: &RawObject) -> Result<Option<Vec<PoolName>>, Problem> {
    let Some(raw) = fit::key::<Vec<String>>(section, "pools").map_err(|p| p.under("/ipam"))? else {
        return Ok(None);
    };
    if raw.is_empty() {
        return Err(Problem::new("/ipam/pools", "`pools` is empty; name an AddressPool, or remove the key"));
    }
    let mut names: Vec<PoolName> = Vec::with_capacity(raw.len());
    for (n, raw) in raw.iter().enumerate() {
        let at = |why: String| Problem::new(format!("/ipam/pools/{n}"), why);
        let name = raw.parse().map_err(|e| at(format!("{e}; give the name of an AddressPool")))?;
        if names.contains(&name) {
            return Err(at(format!(
                "the pool `{name}` is listed twice, but an interface gets one address of a pool; remove one"
            )));
        }
        names.push(name);
    }
    Ok(Some(names))
}

/// What a pool says itself cannot be said beside it: nobody would know which of the two holds.
fn alone(config: &RawObject, section: &RawObject) -> Result<(), Problem> {
    let is_given =
        |key: &&&str| section.get(key).is_some_and(|raw| !matches!(raw.get(), "null" | "\"\"" | "[]"));
    if let Some(key) = ["ranges", "subnet", "exclude", "domain"].iter().find(is_given) {
        let why = format!("`{key}` is beside `pools`, and a pool has its own; keep one of the two");
        return Err(Problem::new(format!("/ipam{}", step(key)), why));
    }
    let runtime = crate::runtime::config(config)?;
    if runtime.get("ipRanges").is_some_and(|raw| !matches!(raw.get(), "null" | "[]")) {
        let why = "the runtime brings ranges, and the definition names `pools`; remove `pools`, or the capability `ipRanges`";
        return Err(Problem::new("/runtimeConfig/ipRanges", why));
    }
    Ok(())
}

fn inline_sources(
    config: &RawObject,
    section: &RawObject,
    version: Version,
) -> Result<Vec<AddressSource>, Problem> {
    let sets: Vec<(String, RangeSet)> = all_sets(config, section)?;
    apart(&sets)?;
    one_per_family(&sets, version)?;
    let domain = domain(section)?;
    let exclude = exclude::read(section)?;
    let read = |(place, set): (String, RangeSet)| {
        InlineSet::read(&domain, &exclude, &place, set).map(AddressSource::Inline)
    };
    sets.into_iter().map(read).collect()
}

fn domain(section: &RawObject) -> Result<Domain, Problem> {
    let raw: Option<String> = fit::key(section, "domain").map_err(|p| p.under("/ipam"))?;
    match raw.as_deref() {
        None | Some("") => Ok(Domain::default()),
        Some(raw) => raw
            .parse()
            .map_err(|e| Problem::new("/ipam/domain", format!("{e}; give a DNS label, such as `storage`"))),
    }
}

#[cfg(test)]
mod tests;
