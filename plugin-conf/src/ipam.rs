//! The `ipam` section: which plugin gives the addresses, if any.

use std::net::IpAddr;

use manifold_cni::{PluginType, RawObject};

use crate::fit;
use crate::problem::Problem;

/// The section itself; absent and `null` are empty.
pub fn section(config: &RawObject) -> Result<RawObject, Problem> {
    fit::object(config, "ipam")
}

/// `ipam.gateway`, where it is one address. What else a foreign IPAM plugin means by that key is its business.
pub fn given_gateway(config: &RawObject) -> Option<IpAddr> {
    section(config).ok()?.get_as::<String>("gateway").ok()??.parse().ok()
}

/// `ipam.type`. `None` when the section is absent or empty, or names no plugin: no addresses are wanted.
pub fn ipam_type(config: &RawObject) -> Result<Option<PluginType>, Problem> {
    let section = section(config)?;
    let raw: Option<String> = fit::key(&section, "type").map_err(|p| p.under("/ipam"))?;
    match raw.as_deref() {
        None | Some("") => Ok(None),
        Some(raw) => raw.parse().map(Some).map_err(|e| {
            Problem::new(
                "/ipam/type",
                format!("{e}; give the bare name of an IPAM plugin, such as `host-local`"),
            )
        }),
    }
}
