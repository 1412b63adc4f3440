//! `tap`: a TAP device that a virtual machine in the pod opens (PLG-TAP-1).

use manifold_cni::name::printable;
use manifold_cni::{IfName, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{DnsConf, Mtu, fit, ipam};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TapConf {
    pub multi_queue: bool,
    pub mtu: Mtu,
    /// As written; [`crate::mac::requested`] weighs it against the other sources.
    pub mac: Option<String>,
    /// Who may open it; `None` is whoever may administer the network.
    pub owner: Option<u32>,
    pub group: Option<u32>,
    /// Written `selinuxcontext` in the reference's documents, which read either.
    #[serde(alias = "selinuxcontext", alias = "selinuxContext")]
    pub selinux_context: Option<String>,
    /// A bridge in the container, which must be there already.
    #[serde(deserialize_with = "fit::empty_is_none")]
    pub bridge: Option<IfName>,
    pub dns: DnsConf,
}

pub const KEYS: &[&str] =
    &["multiQueue", "mtu", "mac", "owner", "group", "selinuxContext", "selinuxcontext", "bridge"];

impl TapConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let conf: Self = fit::fit(config)?;
        ipam::ipam_type(config)?;
        if let Some(context) = conf.selinux_context() {
            let pieces = context.split(':').filter(|piece| !piece.is_empty()).count();
            if pieces < 3 || context.len() > 1024 || context.contains(|c: char| c.is_control()) {
                let why = format!(
                    "`{}` is not an SELinux context; write one as `user:role:type:level`",
                    printable(context)
                );
                return Err(Problem::new("/selinuxContext", why));
            }
        }
        Ok(conf)
    }

    /// The context, if one is asked for: the empty text asks for none.
    pub fn selinux_context(&self) -> Option<&str> {
        self.selinux_context.as_deref().filter(|context| !context.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<TapConf, Problem> {
        TapConf::read(&RawObject::parse(raw.as_bytes()).unwrap())
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Proves: PLG-TAP-1
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read("{}").unwrap();
        assert_eq!((conf.multi_queue, conf.mtu.get(), conf.owner, conf.group), (false, None, None, None));
        assert!(conf.selinux_context().is_none() && conf.bridge.is_none() && conf.mac.is_none());
        let conf = read(
            r#"{"multiQueue":true,"mtu":1400,"mac":"02:00:00:00:00:01","owner":107,"group":0,"bridge":"br0"}"#,
        )
        .unwrap();
        assert_eq!(
            (conf.multi_queue, conf.mtu.get(), conf.owner, conf.group),
            (true, Some(1400), Some(107), Some(0))
        );
        assert_eq!(conf.bridge.unwrap().as_str(), "br0");
        for key in ["selinuxContext", "selinuxcontext"] {
            let conf = read(&format!(r#"{{"{key}":"system_u:system_r:container_t:s0"}}"#)).unwrap();
            assert_eq!(conf.selinux_context(), Some("system_u:system_r:container_t:s0"));
        }
    }

    // Proves: PLG-TAP-1
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#"{"owner":-1}"#, "/owner", "owner");
        refused(r#"{"group":4294967296}"#, "/group", "group");
        refused(r#"{"multiQueue":"yes"}"#, "/multiQueue", "`true` or `false`");
        refused(r#"{"bridge":"a/b"}"#, "/bridge", "cannot be used");
        refused(r#"{"selinuxContext":"nonsense"}"#, "/selinuxContext", "not an SELinux context");
        refused(r#"{"mtu":-1}"#, "/mtu", "-1 is not an MTU");
    }
}
