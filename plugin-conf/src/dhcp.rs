//! `dhcp`: addresses from a DHCP server of the network, by way of a daemon (PLG-DHCP-1).

use std::path::PathBuf;

use manifold_cni::name::printable;
use manifold_cni::{CniArgs, RawObject};
use serde::Deserialize;

use crate::problem::Problem;
use crate::{fit, ipam};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpConf {
    pub daemon_socket: PathBuf,
    pub request: Vec<RequestedOption>,
    pub provide: Vec<ProvidedOption>,
    /// The metric of every route; 0 is none.
    pub priority: u32,
}

/// An option that the server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedOption {
    pub code: u8,
    /// Router and subnet mask are not asked for of themselves.
    pub skip_default: bool,
}

/// An option that the server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvidedOption {
    pub code: u8,
    pub value: OptionValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    Text(String),
    /// The key of CNI_ARGS that has it.
    FromArg(String),
}

/// In the `ipam` section.
pub const KEYS: &[&str] = &["type", "daemonSocketPath", "request", "provide", "priority"];
pub const REQUEST_KEYS: &[&str] = &["option", "skipDefault"];
pub const PROVIDE_KEYS: &[&str] = &["option", "value", "fromArg"];

const DEFAULT_SOCKET: &str = "/run/cni/dhcp.sock";
const NAMES: [(&str, u8); 6] = [
    ("subnet-mask", 1),
    ("routers", 3),
    ("host-name", 12),
    ("vendor-class-identifier", 60),
    ("dhcp-client-identifier", 61),
    ("user-class", 77),
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    daemon_socket_path: Option<PathBuf>,
    request: Vec<Request>,
    provide: Vec<Provide>,
    priority: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    option: Code,
    #[serde(default)]
    skip_default: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provide {
    option: Code,
    value: Option<String>,
    from_arg: Option<String>,
}

/// By number, as number or text, or by name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Code(u8);

impl TryFrom<serde_json::Value> for Code {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let code = match &value {
            serde_json::Value::String(raw) => {
                NAMES.iter().find(|(name, _)| name == raw).map(|(_, code)| *code).or_else(|| raw.parse().ok())
            }
            other => other.as_u64().and_then(|n| u8::try_from(n).ok()),
        };
        // 0 pads, and 255 ends the options.
        code.filter(|code| (1..=254).contains(code)).map(Self).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{} is no DHCP option; give a number from 1 to 254, or one of {}",
                printable(&value.to_string()),
                names.join(", ")
            )
        })
    }
}

impl DhcpConf {
    pub fn read(config: &RawObject) -> Result<Self, Problem> {
        let section = ipam::section(config)?;
        let written: Written = fit::fit(&section).map_err(|p| p.under("/ipam"))?;
        let daemon_socket = match written.daemon_socket_path {
            Some(path) if path.as_os_str().is_empty() => DEFAULT_SOCKET.into(),
            Some(path) if !path.is_absolute() => {
                let why =
                    format!("`{}` is not absolute; begin it with `/`", printable(&path.to_string_lossy()));
                return Err(Problem::new("/ipam/daemonSocketPath", why));
            }
            path => path.unwrap_or_else(|| DEFAULT_SOCKET.into()),
        };
        let request = written.request.into_iter();
        let provide = written.provide.into_iter().enumerate().map(|(n, provide)| {
            provide.read().map_err(|why| Problem::new(format!("/ipam/provide/{n}"), why))
        });
        Ok(Self {
            daemon_socket,
            request: request
                .map(|r| RequestedOption { code: r.option.0, skip_default: r.skip_default })
                .collect(),
            provide: provide.collect::<Result<_, _>>()?,
            priority: written.priority,
        })
    }

    /// Any option that skips them means that they are not wanted (PLG-DHCP-2).
    pub fn asks_for_router_and_mask(&self) -> bool {
        !self.request.iter().any(|option| option.skip_default)
    }
}

impl Provide {
    fn read(self) -> Result<ProvidedOption, String> {
        let value = match (self.value.filter(|v| !v.is_empty()), self.from_arg.filter(|v| !v.is_empty())) {
            (Some(_), Some(_)) => return Err("`value` and `fromArg` exclude each other; remove one".into()),
            (None, Some(key)) => OptionValue::FromArg(key),
            (Some(text), None) => OptionValue::Text(text),
            (None, None) => return Err("the option has no value; give `value` or `fromArg`".into()),
        };
        match &value {
            OptionValue::Text(text) if text.len() > 255 => {
                Err("`value` is longer than the 255 bytes that an option can have; shorten it".into())
            }
            _ => Ok(ProvidedOption { code: self.option.0, value }),
        }
    }
}

impl OptionValue {
    /// The bytes to send; `None` when CNI_ARGS lacks the key.
    pub fn bytes<'a>(&'a self, args: &'a CniArgs) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::FromArg(key) => args.get(key).map(str::as_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ipam: &str) -> Result<DhcpConf, Problem> {
        DhcpConf::read(
            &RawObject::parse(format!(r#"{{"ipam":{{"type":"dhcp"{ipam}}}}}"#).as_bytes()).unwrap(),
        )
    }

    #[track_caller]
    fn refused(ipam: &str, pointer: &str, part: &str) {
        let problem = read(ipam).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    // Shows part of: PLG-DHCP-1, PLG-DHCP-2
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read("").unwrap();
        assert_eq!(
            (conf.daemon_socket.as_path(), conf.priority),
            (std::path::Path::new("/run/cni/dhcp.sock"), 0)
        );
        assert!(conf.request.is_empty() && conf.provide.is_empty() && conf.asks_for_router_and_mask());
        let conf = read(
            r#","daemonSocketPath":"/run/x.sock","priority":7,"request":[{"option":121,"skipDefault":true},{"option":"host-name"},
            {"option":"42"}],"provide":[{"option":"user-class","value":"vm"},{"option":"12","fromArg":"K8S_POD_NAME"}]"#,
        )
        .unwrap();
        assert_eq!(conf.request.iter().map(|r| r.code).collect::<Vec<_>>(), [121, 12, 42]);
        assert!(!conf.asks_for_router_and_mask() && conf.priority == 7);
        let args = CniArgs::parse("K8S_POD_NAME=cart=7");
        let provided: Vec<_> = conf.provide.iter().map(|p| (p.code, p.value.bytes(&args))).collect();
        assert_eq!(provided, [(77, Some(&b"vm"[..])), (12, Some(&b"cart=7"[..]))]);
    }

    // Shows part of: PLG-DHCP-1
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#","request":[{"option":"colour"}]"#, "/ipam/request", "no DHCP option");
        refused(r#","request":[{"option":256}]"#, "/ipam/request", "no DHCP option");
        refused(r#","request":[{"option":0}]"#, "/ipam/request", "no DHCP option");
        refused(r#","provide":[{"option":12}]"#, "/ipam/provide/0", "no value");
        refused(r#","provide":[{"option":12,"value":"a","fromArg":"b"}]"#, "/ipam/provide/0", "exclude");
        let long = format!(r#","provide":[{{"option":12,"value":"{}"}}]"#, "x".repeat(256));
        refused(&long, "/ipam/provide/0", "255 bytes");
        refused(r#","daemonSocketPath":"run/x""#, "/ipam/daemonSocketPath", "not absolute");
        refused(r#","priority":-1"#, "/ipam/priority", "priority");
    }
}
