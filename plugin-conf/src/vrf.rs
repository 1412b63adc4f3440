//! `vrf`: a routing domain of its own for an interface (PLG-VRF-1).

use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::fit;
use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfConf {
    pub name: IfName,
    /// `None`: the lowest that no other VRF of the pod has.
    pub table: Option<u32>,
}

pub const KEYS: &[&str] = &["vrfname", "table"];

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(deserialize_with = "fit::empty_is_none")]
    vrfname: Option<IfName>,
    table: u32,
}

impl VrfConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let written: Written = fit::fit(config)?;
        let Some(name) = written.vrfname else {
            return Err(Problem::new(
                "/vrfname",
                "`vrfname` is missing; give the VRF a name of up to 15 bytes",
            ));
        };
        Ok(Self { name, table: (written.table != 0).then_some(written.table) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<VrfConf, Problem> {
        VrfConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    // Proves: PLG-VRF-1
    #[test]
    fn the_name_is_required_and_the_table_is_not() {
        let conf = read(r#"{"vrfname":"blue"}"#).unwrap();
        assert_eq!((conf.name.as_str(), conf.table), ("blue", None));
        assert_eq!(read(r#"{"vrfname":"blue","table":1001}"#).unwrap().table, Some(1001));
        assert_eq!(read(r#"{"vrfname":"blue","table":0}"#).unwrap().table, None);
        for raw in ["{}", r#"{"vrfname":""}"#, r#"{"vrfname":"a/b"}"#, r#"{"vrfname":"sixteen-bytes-xx"}"#] {
            assert_eq!(read(raw).unwrap_err().pointer, "/vrfname", "{raw}");
        }
        for raw in [r#"{"vrfname":"a","table":-1}"#, r#"{"vrfname":"a","table":4294967296}"#] {
            assert_eq!(read(raw).unwrap_err().pointer, "/table", "{raw}");
        }
    }
}
