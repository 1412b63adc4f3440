//! `dhcp`: addresses from a DHCP server of the network, by way of a daemon (PLG-DHCP-1).

use std::path::PathBuf;

use manifold_cni::name::printable;
use manifold_cni::{CniArgs, RawObject};
use serde::Deserialize;

use crate::problem::{Note, Problem};
use crate::{fit, ipam};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpConf {
    pub daemon_socket: PathBuf,
    /// The options that the server is asked for.
    pub request: Vec<u8>,
    /// Any entry that skips them means that they are not wanted (PLG-DHCP-2).
    pub asks_for_router_and_mask: bool,
    pub provide: Vec<ProvidedOption>,
    /// The metric of every route; 0 is none.
    pub priority: u32,
}

/// An option that the server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvidedOption {
    pub code: u8,
    pub value: OptionValue,
}

/// At least one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionValue {
    text: Option<String>,
    /// The key of CNI_ARGS that has it; it wins over the text where the call has that key.
    from_arg: Option<String>,
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

/// Without an option it asks for none: the manual's own example has `skipDefault` alone.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    option: Code,
    skip_default: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Provide {
    option: Code,
    value: Option<String>,
    from_arg: Option<String>,
}

/// By number, as number or text, or by name; `None` where nothing or an empty text is given.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Code(Option<u8>);

impl TryFrom<serde_json::Value> for Code {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let code = match &value {
            serde_json::Value::Null => return Ok(Self(None)),
            serde_json::Value::String(raw) if raw.is_empty() => return Ok(Self(None)),
            serde_json::Value::String(raw) => {
                NAMES.iter().find(|(name, _)| name == raw).map(|(_, code)| *code).or_else(|| raw.parse().ok())
            }
            other => other.as_u64().and_then(|n| u8::try_from(n).ok()),
        };
        // 0 pads, and 255 ends the options.
        code.filter(|code| (1..=254).contains(code)).map(|code| Self(Some(code))).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!(
                "{} is not a DHCP option; use a number from 1 to 254, or one of {}",
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
        let skips = written.request.iter().any(|request| request.skip_default);
        let provide = written.provide.into_iter().enumerate().filter_map(|(n, provide)| {
            provide.read().map_err(|why| Problem::new(format!("/ipam/provide/{n}"), why)).transpose()
        });
        Ok(Self {
            daemon_socket,
            request: written.request.iter().filter_map(|request| request.option.0).collect(),
            asks_for_router_and_mask: !skips,
            provide: provide.collect::<Result<_, _>>()?,
            priority: written.priority,
        })
    }

    /// Entries that ask for nothing or say nothing, as they work in the reference plugin.
    pub fn notes(config: &RawObject) -> Result<Vec<Note>, Problem> {
        let written: Written = fit::fit(&ipam::section(config)?).map_err(|p| p.under("/ipam"))?;
        let note = |list: &str, n: usize, what: &str| Note {
            pointer: format!("/ipam/{list}/{n}"),
            sentence: format!(
                "this entry of `{list}` has no {what}, so it has no effect; complete it, or remove it"
            ),
        };
        let request = written.request.iter().enumerate();
        let request = request.filter(|(_, request)| request.option.0.is_none() && !request.skip_default);
        let provide = written.provide.iter().enumerate().filter_map(|(n, provide)| match provide.option.0 {
            None => Some(note("provide", n, "`option`")),
            Some(_) if provide.is_empty() => Some(note("provide", n, "`value` or `fromArg`")),
            Some(_) => None,
        });
        Ok(request.map(|(n, _)| note("request", n, "`option`")).chain(provide).collect())
    }
}

impl Provide {
    fn is_empty(&self) -> bool {
        [&self.value, &self.from_arg].into_iter().flatten().all(String::is_empty)
    }

    /// `None` where the entry says nothing.
    fn read(self) -> Result<Option<ProvidedOption>, String> {
        let Some(code) = self.option.0.filter(|_| !self.is_empty()) else { return Ok(None) };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let value = OptionValue { text: given(self.value), from_arg: given(self.from_arg) };
        match &value.text {
            Some(text) if text.len() > 255 => {
                Err("`value` is longer than the 255 bytes that an option can have; shorten it".into())
            }
            _ => Ok(Some(ProvidedOption { code, value })),
        }
    }
}

impl OptionValue {
    /// The bytes to send; `None` when only CNI_ARGS could say them, and does not.
    pub fn bytes<'a>(&'a self, args: &'a CniArgs) -> Option<&'a [u8]> {
        let from_args = self.from_arg.as_ref().and_then(|key| args.get(key));
        from_args.or(self.text.as_deref()).map(str::as_bytes)
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
        assert!(conf.request.is_empty() && conf.provide.is_empty() && conf.asks_for_router_and_mask);
        let conf = read(
            r#","daemonSocketPath":"/run/x.sock","priority":7,"request":[{"option":121,"skipDefault":true},{"option":"host-name"},
            {"option":"42"}],"provide":[{"option":"user-class","value":"vm"},{"option":"12","fromArg":"K8S_POD_NAME"}]"#,
        )
        .unwrap();
        assert_eq!(conf.request, [121, 12, 42]);
        assert!(!conf.asks_for_router_and_mask && conf.priority == 7);
        let args = CniArgs::parse("K8S_POD_NAME=cart=7");
        let provided: Vec<_> = conf.provide.iter().map(|p| (p.code, p.value.bytes(&args))).collect();
        assert_eq!(provided, [(77, Some(&b"vm"[..])), (12, Some(&b"cart=7"[..]))]);
    }

    // Proves: COMPAT-7
    #[test]
    fn an_entry_without_an_option_or_a_value_asks_for_nothing_and_says_nothing() {
        let conf = read(
            r#","request":[{"skipDefault":false},{"option":""},{"option":null},{"option":"host-name"}],
            "provide":[{"value":"x"},{"option":"","fromArg":"A"},{"option":12},{"option":60,"value":"","fromArg":""},
            {"option":"host-name","fromArg":"K8S_POD_NAME"}]"#,
        )
        .unwrap();
        assert_eq!((conf.request.as_slice(), conf.asks_for_router_and_mask), (&[12][..], true));
        assert_eq!(conf.provide.iter().map(|p| p.code).collect::<Vec<_>>(), [12]);
        // The entry without an option still says whether router and mask are wanted.
        let conf = read(r#","request":[{"skipDefault":true}]"#).unwrap();
        assert!(conf.request.is_empty() && !conf.asks_for_router_and_mask);
    }

    // Proves: COMPAT-7.1
    #[test]
    fn a_value_of_the_call_wins_over_the_one_beside_it() {
        let conf = read(r#","provide":[{"option":12,"value":"a","fromArg":"B"}]"#).unwrap();
        let said = |args: &str| conf.provide[0].value.bytes(&CniArgs::parse(args)).unwrap().to_vec();
        assert_eq!((said("B=b"), said("C=c")), (b"b".to_vec(), b"a".to_vec()));
    }

    // Shows part of: PLG-DHCP-1
    #[test]
    fn every_broken_rule_names_its_key() {
        refused(r#","request":[{"option":"colour"}]"#, "/ipam/request", "not a DHCP option");
        refused(r#","request":[{"option":256}]"#, "/ipam/request", "not a DHCP option");
        refused(r#","request":[{"option":0}]"#, "/ipam/request", "not a DHCP option");
        let long = format!(r#","provide":[{{"option":12,"value":"{}"}}]"#, "x".repeat(256));
        refused(&long, "/ipam/provide/0", "255 bytes");
        refused(r#","daemonSocketPath":"run/x""#, "/ipam/daemonSocketPath", "not absolute");
        refused(r#","priority":-1"#, "/ipam/priority", "priority");
    }
}
