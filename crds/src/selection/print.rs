//! Writes selections in the long form, so that what was read can be stored, shown and read again.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::Selection;

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("name", &self.network.name)?;
        map.serialize_entry("namespace", &self.network.namespace)?;
        entry(&mut map, "interface", self.interface.as_ref())?;
        entry(&mut map, "ips", Some(&self.ips).filter(|i| !i.is_empty()))?;
        entry(&mut map, "mac", self.mac.as_ref())?;
        entry(&mut map, "infiniband-guid", self.infiniband_guid.as_ref())?;
        entry(&mut map, "portMappings", Some(&self.port_mappings).filter(|p| !p.is_empty()))?;
        entry(&mut map, "bandwidth", self.bandwidth.as_ref())?;
        entry(&mut map, "default-route", self.default_route.as_ref())?;
        entry(&mut map, "cni-args", self.cni_args.as_ref())?;
        entry(&mut map, "ipam-claim-reference", self.ipam_claim_reference.as_ref())?;
        entry(&mut map, "deviceID", self.device_id.as_ref())?;
        map.end()
    }
}

fn entry<M: SerializeMap, T: Serialize>(map: &mut M, key: &str, value: Option<&T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}

/// The annotation's text for these selections.
pub fn to_json(selections: &[Selection]) -> String {
    serde_json::to_string(selections).expect("selections have string keys only")
}
