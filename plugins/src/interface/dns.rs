//! Which `dns` the result carries: the configuration's or IPAM's (PLG-COM-14).

use manifold_cni::CniResult;
use manifold_plugin_conf::DnsConf;

/// bridge and ptp: the configuration's, if any of its fields is written.
pub(crate) fn prefer_configured(result: &mut CniResult, conf: &DnsConf) {
    if conf.any_field {
        result.dns = conf.dns.clone();
    }
}

/// macvlan: always the configuration's, even when that is nothing.
pub(crate) fn replace(result: &mut CniResult, conf: &DnsConf) {
    result.dns = conf.dns.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ipam() -> CniResult {
        serde_json::from_str(r#"{"dns": {"nameservers": ["10.0.0.53"], "domain": "ipam.example"}}"#).unwrap()
    }

    #[track_caller]
    fn check(conf: &str, preferred: (&[&str], &str), replaced: (&[&str], &str)) {
        let conf: DnsConf = serde_json::from_str(conf).unwrap();
        for (rule, expected) in
            [(prefer_configured as fn(&mut _, &_), preferred), (replace as fn(&mut _, &_), replaced)]
        {
            let mut result = of_ipam();
            rule(&mut result, &conf);
            assert_eq!((result.dns.nameservers, result.dns.domain.as_str()), {
                (expected.0.iter().map(ToString::to_string).collect(), expected.1)
            });
        }
    }

    // Proves: PLG-COM-14
    #[test]
    fn bridge_and_ptp_keep_ipams_unless_a_field_is_written_and_macvlan_never_does() {
        check("{}", (&["10.0.0.53"], "ipam.example"), (&[], ""));
        check(r#"{"nameservers": ["1.1.1.1"]}"#, (&["1.1.1.1"], ""), (&["1.1.1.1"], ""));
        check(r#"{"search": []}"#, (&[], ""), (&[], ""));
    }
}
