//! VLAN ids of a bridge port: the one it is an untagged member of, and those it carries tagged.

use serde::{Deserialize, Serialize};

/// 0–4094, where 0 means that no VLAN is asked for (PLG-BRIDGE-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct VlanId(u16);

impl VlanId {
    pub fn get(self) -> Option<u16> {
        (self.0 != 0).then_some(self.0)
    }
}

impl TryFrom<i64> for VlanId {
    type Error = String;

    fn try_from(n: i64) -> Result<Self, String> {
        match u16::try_from(n) {
            Ok(id @ 0..=4094) => Ok(Self(id)),
            _ => Err(format!("{n} is not a VLAN id; use 1 to 4094, or 0 for none")),
        }
    }
}

/// The tagged VLANs of a trunk port: sorted, each once (PLG-BRIDGE-8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<TrunkEntry>")]
pub struct Trunk(Vec<u16>);

impl Trunk {
    pub fn ids(&self) -> &[u16] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of one entry of a trunk.
pub const TRUNK_KEYS: &[&str] = &["id", "minID", "maxID"];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrunkEntry {
    id: Option<i64>,
    #[serde(rename = "minID")]
    min_id: Option<i64>,
    #[serde(rename = "maxID")]
    max_id: Option<i64>,
}

impl TryFrom<Vec<TrunkEntry>> for Trunk {
    type Error = String;

    fn try_from(entries: Vec<TrunkEntry>) -> Result<Self, String> {
        let mut ids = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            entry.extend(&mut ids).map_err(|why| format!("entry {n}: {why}"))?;
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Self(ids))
    }
}

impl TrunkEntry {
    fn extend(&self, ids: &mut Vec<u16>) -> Result<(), String> {
        match (self.min_id, self.max_id) {
            (None, None) => {}
            (Some(_), None) => return Err("`minID` is set without `maxID`; set both, or `id`".into()),
            (None, Some(_)) => return Err("`maxID` is set without `minID`; set both, or `id`".into()),
            (Some(min), Some(max)) => {
                let (from, to) = (member("minID", min)?, member("maxID", max)?);
                if from > to {
                    return Err(format!("`minID` {min} is above `maxID` {max}; swap them"));
                }
                ids.extend(from..=to);
            }
        }
        if let Some(id) = self.id {
            ids.push(member("id", id)?);
        }
        Ok(())
    }
}

fn member(key: &str, n: i64) -> Result<u16, String> {
    match u16::try_from(n) {
        Ok(id @ 1..=4094) => Ok(id),
        _ => Err(format!("`{key}` {n} is not a VLAN id; use 1 to 4094")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn trunk(raw: &str, expected: Result<&[u16], &str>) {
        let got = serde_json::from_str::<Trunk>(raw).map_err(|e| e.to_string());
        match (got, expected) {
            (Ok(got), Ok(ids)) => assert_eq!(got.ids(), ids),
            (Err(got), Err(part)) => assert!(got.contains(part), "{got}"),
            (got, expected) => panic!("{got:?}, expected {expected:?}"),
        }
    }

    // Proves: PLG-BRIDGE-8
    #[test]
    fn trunk_ids_are_sorted_and_unique() {
        trunk("[]", Ok(&[]));
        trunk(r#"[{"id":42}]"#, Ok(&[42]));
        trunk(r#"[{"minID":1000,"maxID":1002}]"#, Ok(&[1000, 1001, 1002]));
        trunk(r#"[{"id":1001},{"id":7,"minID":1000,"maxID":1001},{"id":1}]"#, Ok(&[1, 7, 1000, 1001]));
        trunk(r#"[{"minID":4094,"maxID":4094}]"#, Ok(&[4094]));
    }

    // Proves: PLG-BRIDGE-8
    #[test]
    fn every_broken_trunk_entry_says_what_is_wrong_and_where() {
        trunk(r#"[{"id":0}]"#, Err("entry 0: `id` 0 is not a VLAN id"));
        trunk(r#"[{"id":1},{"id":4095}]"#, Err("entry 1: `id` 4095 is not a VLAN id"));
        trunk(r#"[{"minID":0,"maxID":5}]"#, Err("`minID` 0 is not a VLAN id"));
        trunk(r#"[{"minID":1,"maxID":4095}]"#, Err("`maxID` 4095 is not a VLAN id"));
        trunk(r#"[{"minID":6,"maxID":5}]"#, Err("`minID` 6 is above `maxID` 5"));
        trunk(r#"[{"minID":6}]"#, Err("`minID` is set without `maxID`"));
        trunk(r#"[{"maxID":6}]"#, Err("`maxID` is set without `minID`"));
        trunk(r#"[{"id":-9223372036854775808}]"#, Err("is not a VLAN id"));
    }
}
