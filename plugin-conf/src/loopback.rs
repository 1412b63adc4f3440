//! `loopback`: it has no keys of its own (PLG-LO-1).

use manifold_cni::RawObject;
use serde::Deserialize;

use crate::fit;
use crate::problem::Problem;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoopbackConf {}

pub const KEYS: &[&str] = &[];

impl LoopbackConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        fit::fit(config)
    }
}
