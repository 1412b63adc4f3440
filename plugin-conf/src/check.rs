//! Checks one plugin's configuration by its type: the entry for the plan and the admission webhook.

use std::collections::BTreeMap;

use manifold_cni::{CniArgs, RawObject, Version};

use crate::keys::{self, Owner};
use crate::mac::{self, Sources};
use crate::problem::{Note, Problem};
use crate::{
    BridgeConf, HostLocalConf, LoopbackConf, MacvlanConf, PtpConf, StaticConf, bridge, fit, host_local,
    ip_range, ipam, loopback, macvlan, ptp, static_ipam,
};

/// Everything that can be told from the configuration alone. Types that are not bundled pass: their own plugin knows.
/// `cniVersion` may be missing, as it stands on the list; then the newest is assumed.
pub fn check(type_name: &str, config: &RawObject) -> Result<Vec<Note>, Problem> {
    let own = match type_name {
        "bridge" => {
            BridgeConf::read(config)?;
            mac::requested(config, &CniArgs::default(), Sources::WithArgsCni)?;
            bridge::KEYS
        }
        "ptp" => PtpConf::read(config).map(|_| ptp::KEYS)?,
        "macvlan" => {
            MacvlanConf::read(config)?;
            mac::requested(config, &CniArgs::default(), Sources::WithConfigKey)?;
            macvlan::KEYS
        }
        "loopback" => LoopbackConf::read(config).map(|_| loopback::KEYS)?,
        "host-local" | "static" => {
            common(config)?;
            return ipam_notes(type_name, config);
        }
        _ => return Ok(Vec::new()),
    };
    common(config)?;
    let known: Vec<&str> = keys::PROTOCOL.iter().chain(own).copied().collect();
    let ipam_type = ipam::ipam_type(config)?;
    let owner = match ipam_type.as_ref().map(|t| t.as_str()) {
        None | Some("host-local" | "static") => Owner::Ours,
        Some(_) => Owner::Shared,
    };
    let mut notes = keys::unknown(config, &known, "", type_name, owner);
    match ipam_type {
        Some(ipam_type) => notes.extend(ipam_notes(ipam_type.as_str(), config)?),
        None if !ipam::section(config)?.is_empty() => notes.push(Note {
            pointer: "/ipam".into(),
            sentence: "`ipam` has no `type`, so it has no effect; add one, or remove the section".into(),
        }),
        None => {}
    }
    Ok(notes)
}

/// The shapes of the protocol's own keys.
fn common(config: &RawObject) -> Result<(), Problem> {
    let args = fit::object(config, "args")?;
    fit::object(&args, "cni").map_err(|p| p.under("/args"))?;
    fit::object(config, "runtimeConfig")?;
    fit::key::<BTreeMap<String, bool>>(config, "capabilities")?;
    fit::key::<bool>(config, "ipMasq")?;
    version(config).map(|_| ())
}

fn version(config: &RawObject) -> Result<Version, Problem> {
    match fit::key::<String>(config, "cniVersion")? {
        None => Ok(Version::NEWEST),
        Some(raw) => raw
            .parse()
            .map_err(|e: manifold_cni::version::UnknownVersion| Problem::new("/cniVersion", e.to_string())),
    }
}

fn ipam_notes(ipam_type: &str, config: &RawObject) -> Result<Vec<Note>, Problem> {
    match ipam_type {
        "host-local" => {
            let conf = HostLocalConf::read_without_request(config, version(config)?)?;
            if conf.sets.is_empty() && !declares(config, "ipRanges")? {
                // The same words that ADD would use.
                HostLocalConf::read(config, &CniArgs::default(), version(config)?)?;
            }
            host_local_notes(config)
        }
        "static" => {
            let conf = StaticConf::read(config, &CniArgs::default(), version(config)?)?;
            static_notes(config, &conf)
        }
        _ => Ok(Vec::new()),
    }
}

fn host_local_notes(config: &RawObject) -> Result<Vec<Note>, Problem> {
    let section = ipam::section(config)?;
    let mut notes = keys::unknown(&section, host_local::KEYS, "/ipam", "host-local", Owner::Ours);
    if !section.contains("subnet") {
        let idle = ["rangeStart", "rangeEnd", "gateway"].into_iter().filter(|k| section.contains(k));
        notes.extend(idle.map(|key| Note {
            pointer: format!("/ipam/{key}"),
            sentence: format!("`{key}` has no `subnet` beside it, so it has no effect; move it into a range"),
        }));
    }
    let sets: Vec<Vec<RawObject>> = section.get_as("ranges").ok().flatten().unwrap_or_default();
    for (n, set) in sets.iter().enumerate() {
        for (m, range) in set.iter().enumerate() {
            let place = format!("/ipam/ranges/{n}/{m}");
            notes.extend(keys::unknown(range, ip_range::KEYS, &place, "host-local", Owner::Ours));
        }
    }
    Ok(notes)
}

fn static_notes(config: &RawObject, conf: &StaticConf) -> Result<Vec<Note>, Problem> {
    let section = ipam::section(config)?;
    let mut notes = keys::unknown(&section, static_ipam::KEYS, "/ipam", "static", Owner::Ours);
    let entries: Vec<RawObject> = section.get_as("addresses").ok().flatten().unwrap_or_default();
    for (n, entry) in entries.iter().enumerate() {
        let place = format!("/ipam/addresses/{n}");
        notes.extend(keys::unknown(entry, static_ipam::ADDRESS_KEYS, &place, "static", Owner::Ours));
    }
    if conf.addresses.is_empty() && !declares(config, "ips")? {
        notes.push(Note {
            pointer: "/ipam/addresses".into(),
            sentence: "there is no address, so every pod must bring its own; \
                       list some, or declare the capability `ips`"
                .into(),
        });
    }
    Ok(notes)
}

fn declares(config: &RawObject, capability: &str) -> Result<bool, Problem> {
    let all: BTreeMap<String, bool> = fit::key(config, "capabilities")?.unwrap_or_default();
    Ok(all.get(capability).copied().unwrap_or(false))
}
