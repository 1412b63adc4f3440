//! `ipv6`: whether an interface keeps IPv6 although it has no IPv6 address. Ours, for every plugin that makes an interface.

use manifold_cni::RawObject;
use manifold_cni::name::printable;

use crate::fit;
use crate::problem::Problem;

pub const KEY: &str = "ipv6";

/// Plugin types that read it.
pub const READERS: &[&str] =
    &["bridge", "ptp", "macvlan", "ipvlan", "vlan", "host-device", "sriov", "bond", "dummy", "tap"];

/// `keep`: link-local addresses stay, as mDNS and Matter need them. Otherwise IPv6 is off there, because anyone on the
/// wire could reroute the pod (S-10).
pub fn is_kept(config: &RawObject) -> Result<bool, Problem> {
    match fit::key::<String>(config, KEY)?.as_deref() {
        None | Some("" | "off") => Ok(false),
        Some("keep") => Ok(true),
        Some(other) => {
            let shown = printable(other);
            let why = format!("`ipv6` is `{shown}`; write `keep` or `off`, or leave it out");
            Err(Problem::new("/ipv6", why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves: COMPAT-10
    #[test]
    fn ipv6_is_off_unless_it_is_to_be_kept() {
        let read = |raw: &str| is_kept(&RawObject::parse(raw.as_bytes()).unwrap());
        for (raw, kept) in [
            ("{}", false),
            (r#"{"ipv6":null}"#, false),
            (r#"{"ipv6":"off"}"#, false),
            (r#"{"IPv6":"keep"}"#, true),
        ] {
            assert_eq!(read(raw), Ok(kept), "{raw}");
        }
        for raw in [r#"{"ipv6":"on"}"#, r#"{"ipv6":true}"#] {
            assert_eq!(read(raw).unwrap_err().pointer, "/ipv6", "{raw}");
        }
    }
}
