//! `dummy`: an interface that leads nowhere, for its addresses (PLG-DUMMY-1).

use manifold_cni::RawObject;

use crate::ipam;
use crate::problem::Problem;

#[derive(Clone, Copy, Debug)]
pub struct DummyConf;

/// None of its own.
pub const KEYS: &[&str] = &[];

impl DummyConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        match ipam::ipam_type(config)? {
            Some(_) => Ok(Self),
            None => Err(Problem::new(
                "/ipam",
                "dummy exists for its addresses, so it needs an `ipam` with a `type`; add one",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: PLG-DUMMY-1
    #[test]
    fn ipam_is_required() {
        let read = |raw: &str| DummyConf::read(&RawObject::parse(raw.as_bytes()).unwrap());
        assert!(read(r#"{"ipam":{"type":"static"}}"#).is_ok());
        for raw in ["{}", r#"{"ipam":{}}"#, r#"{"ipam":{"type":""}}"#, r#"{"ipam":null}"#] {
            let problem = read(raw).unwrap_err();
            assert!(problem.pointer == "/ipam" && problem.sentence.contains("needs an `ipam`"), "{problem}");
        }
    }
}
