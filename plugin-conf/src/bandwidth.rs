//! `bandwidth`: how much a pod may receive and send (PLG-BW-1, -2).

use manifold_cni::RawObject;
use serde::Deserialize;

use crate::fit;
use crate::problem::Problem;
use crate::runtime;

/// Both ways, from the pod's point of view; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthConf {
    /// To the pod.
    pub ingress: Option<Limit>,
    /// From the pod.
    pub egress: Option<Limit>,
}

/// A rate in bits per second, and how many bits may pass at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub rate: u64,
    pub burst: u64,
}

pub const KEYS: &[&str] = &["ingressRate", "ingressBurst", "egressRate", "egressBurst"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    ingress_rate: u64,
    ingress_burst: u64,
    egress_rate: u64,
    egress_burst: u64,
}

impl BandwidthConf {
    /// What stands in the configuration wins as a whole over what the runtime brings. Both have to hold.
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let own: Written = fit::fit(config)?;
        let runtime =
            fit::object(&runtime::config(config)?, "bandwidth").map_err(|p| p.under("/runtimeConfig"))?;
        let at = "/runtimeConfig/bandwidth";
        let asked: Written = fit::fit(&runtime).map_err(|p| p.under(at))?;
        let (own_limits, asked_limits) = (own.limits("")?, asked.limits(at)?);
        Ok(if own == Written::default() { asked_limits } else { own_limits })
    }

    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

impl Written {
    fn limits(self, place: &str) -> Result<BandwidthConf, Problem> {
        Ok(BandwidthConf {
            ingress: limit(place, "ingress", self.ingress_rate, self.ingress_burst)?,
            egress: limit(place, "egress", self.egress_rate, self.egress_burst)?,
        })
    }
}

fn limit(place: &str, way: &str, rate: u64, burst: u64) -> Result<Option<Limit>, Problem> {
    let wrong = |what: &str, text: String| Err(Problem::new(format!("{place}/{way}{what}"), text));
    match (rate, burst) {
        (0, 0) => Ok(None),
        (_, 0) => wrong("Rate", format!("`{way}Rate` is set without `{way}Burst`; set both")),
        (0, _) => wrong("Burst", format!("`{way}Burst` is set without `{way}Rate`; set both")),
        (_, 1..8) => {
            wrong("Burst", format!("`{way}Burst` {burst} is less than a byte; use at least a packet's bits"))
        }
        (1..8, _) => wrong("Rate", format!("`{way}Rate` {rate} is less than a byte a second; use more")),
        _ if burst / 8 >= u64::from(u32::MAX) => {
            wrong("Burst", format!("`{way}Burst` {burst} is 4 GB or more, which no queue can hold; use less"))
        }
        _ => Ok(Some(Limit { rate, burst })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<BandwidthConf, Problem> {
        BandwidthConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-BW-1
    #[test]
    fn rate_and_burst_stand_together_and_the_burst_has_a_bound() {
        assert!(read("{}").unwrap().is_unlimited());
        let conf = read(r#"{"ingressRate":8000,"ingressBurst":16000}"#).unwrap();
        assert_eq!((conf.ingress, conf.egress), (Some(Limit { rate: 8000, burst: 16000 }), None));
        refused(r#"{"ingressRate":8000}"#, "/ingressRate", "without `ingressBurst`");
        refused(r#"{"ingressBurst":8000}"#, "/ingressBurst", "without `ingressRate`");
        refused(r#"{"egressRate":8000}"#, "/egressRate", "without `egressBurst`");
        refused(r#"{"egressBurst":8000}"#, "/egressBurst", "without `egressRate`");
        refused(r#"{"egressRate":8000,"egressBurst":34359738360}"#, "/egressBurst", "4 GB");
        assert!(read(r#"{"egressRate":8000,"egressBurst":34359738359}"#).is_ok());
        refused(r#"{"egressRate":-1,"egressBurst":8}"#, "/egressRate", "egressRate");
        refused(r#"{"egressRate":"1M","egressBurst":8}"#, "/egressRate", "takes a whole number");
    }

    // Proves: PLG-BW-2
    #[test]
    fn what_is_written_wins_as_a_whole_over_what_the_runtime_brings() {
        let runtime = r#""runtimeConfig":{"bandwidth":{"ingressRate":1000,"ingressBurst":2000,"egressRate":3000,"egressBurst":4000}}"#;
        let conf = read(&format!("{{{runtime}}}")).unwrap();
        assert_eq!(conf.egress, Some(Limit { rate: 3000, burst: 4000 }));
        let conf = read(&format!(r#"{{"ingressRate":8000,"ingressBurst":16000,{runtime}}}"#)).unwrap();
        assert_eq!((conf.ingress, conf.egress), (Some(Limit { rate: 8000, burst: 16000 }), None));
        refused(
            r#"{"runtimeConfig":{"bandwidth":{"egressRate":1000}}}"#,
            "/runtimeConfig/bandwidth/egressRate",
            "without `egressBurst`",
        );
    }

    #[test]
    fn the_capitals_of_containerd_are_read() {
        let sent = r#"{"IngressRate":1000,"IngressBurst":4294967295,"EgressRate":0,"EgressBurst":0}"#;
        let conf = read(&format!(r#"{{"runtimeConfig":{{"bandwidth":{sent}}}}}"#)).unwrap();
        let limit = Limit { rate: 1000, burst: u64::from(u32::MAX) };
        assert_eq!((conf.ingress, conf.egress), (Some(limit), None));
    }
}
