//! The `dns` of an interface plugin, and whether it outranks that of its IPAM.

use manifold_cni::Dns;
use manifold_cni::RawObject;
use serde::Deserialize;

/// Bridge and ptp let IPAM's dns stand unless a field is written here, and an empty list counts as written
/// (PLG-COM-14); so it is not enough to know the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConf {
    pub dns: Dns,
    pub any_field: bool,
}

const FIELDS: [&str; 4] = ["nameservers", "domain", "search", "options"];

impl<'de> Deserialize<'de> for DnsConf {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Some(raw) = Option::<RawObject>::deserialize(d)? else { return Ok(Self::default()) };
        let written = |field: &&str| raw.get(field).is_some_and(|v| v.get() != "null" && v.get() != "\"\"");
        let any_field = FIELDS.iter().any(written);
        let dns = raw.read_as().map_err(|e| serde::de::Error::custom(crate::problem::why(&e)))?;
        Ok(Self { dns, any_field })
    }
}
