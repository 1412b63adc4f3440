//! Addresses asked for by name, and where each request was written.
//!
//! Three places can ask: CNI_ARGS `IP`, `args.cni.ips`, `runtimeConfig.ips`. What they mean together differs between
//! host-local (all of them) and static (the last one given), so this only lists them.

use manifold_cni::{CniArgs, RawObject};

use crate::fit;
use crate::problem::Problem;
use crate::runtime;

/// One requested address, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Its JSON pointer; empty for CNI_ARGS.
    pub pointer: String,
    pub raw: String,
}

impl Requested {
    /// A problem with this request, naming its place.
    pub fn problem(&self, why: &str) -> Problem {
        let place = if self.pointer.is_empty() { "CNI_ARGS: " } else { "" };
        Problem::new(self.pointer.clone(), format!("{place}requested address: {why}"))
    }
}

/// What to do about a request for a gateway's address. A router pod is to be the gateway, and then the definition that it
/// names must not say that somebody else is.
pub(crate) const INSTEAD_OF_GATEWAY: &str =
    "ask for another, or for a pod that is to be the gateway itself name a definition without this gateway";

/// The values of CNI_ARGS `key`, separated by commas.
pub fn from_cni_args(args: &CniArgs, key: &str) -> Vec<Requested> {
    let raw = args.get(key).unwrap_or_default();
    let pieces = raw.split(',').map(str::trim).filter(|_| !raw.is_empty());
    pieces.map(|raw| Requested { pointer: String::new(), raw: raw.to_owned() }).collect()
}

pub fn from_args_cni(config: &RawObject) -> Result<Vec<Requested>, Problem> {
    let cni = fit::object(&fit::object(config, "args")?, "cni").map_err(|p| p.under("/args"))?;
    list(&cni, "/args/cni")
}

pub fn from_runtime_config(config: &RawObject) -> Result<Vec<Requested>, Problem> {
    list(&runtime::config(config)?, "/runtimeConfig")
}

fn list(object: &RawObject, place: &str) -> Result<Vec<Requested>, Problem> {
    let raw: Vec<String> = fit::key(object, "ips").map_err(|p| p.under(place))?.unwrap_or_default();
    let with_place = |(n, raw)| Requested { pointer: format!("{place}/ips/{n}"), raw };
    Ok(raw.into_iter().enumerate().map(with_place).collect())
}
