//! `tuning`: kernel settings and attributes of an interface that is there already (PLG-TUNING-1 to -4).

use manifold_cni::name::printable;
use manifold_cni::{CniArgs, IfName, RawObject};
use serde::Deserialize;

use crate::mac::{BadMac, Mac};
use crate::problem::{Problem, step};
use crate::{Mtu, fit, runtime};

/// What is to be changed, after all sources have been weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TuningConf {
    /// In the order written; a request of the pod's own comes last.
    pub sysctls: Vec<Sysctl>,
    pub mac: Option<Mac>,
    /// `false` is never applied.
    pub promisc: bool,
    pub mtu: Mtu,
    pub allmulti: Option<bool>,
    pub tx_queue_len: Option<u32>,
    /// Where the attributes are kept that DEL restores.
    pub data_dir: String,
}

pub const KEYS: &[&str] = &["sysctl", "mac", "promisc", "mtu", "allmulti", "txQLen", "dataDir"];
pub const DATA_DIR: &str = "/run/cni/tuning";

/// One kernel setting of the network, named piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// As written: what the allow-list is matched against.
    pub key: String,
    pieces: Vec<String>,
    pub value: String,
}

/// The name that stands for the attachment's interface.
const PLACEHOLDER: &str = "IFNAME";

impl Sysctl {
    /// Dots and slashes separate alike. Only what lies under `net` belongs to a network (PLG-TUNING-1).
    fn new(key: &str, value: String) -> Result<Self, String> {
        let shown = printable(key);
        if key.contains("..") || key.contains('\0') {
            return Err(format!("the kernel setting `{shown}` has `..` in its name; name it plainly"));
        }
        let pieces: Vec<String> =
            key.split(['.', '/']).filter(|piece| !piece.is_empty()).map(str::to_owned).collect();
        match pieces.first() {
            Some(first) if first == "net" && pieces.len() > 1 => {
                Ok(Self { key: key.to_owned(), pieces, value })
            }
            _ => Err(format!(
                "`{shown}` is not a kernel setting of the network; only those under `net` may be set"
            )),
        }
    }

    /// Its name for this interface. The placeholder is replaced once, and dots of the interface's name stay in it.
    pub fn pieces(&self, ifname: &IfName) -> Vec<String> {
        let mut pieces = self.pieces.clone();
        if let Some(piece) = pieces.iter_mut().find(|piece| piece.contains(PLACEHOLDER)) {
            *piece = piece.replacen(PLACEHOLDER, ifname.as_str(), 1);
        }
        pieces
    }
}

/// The keys of one source. Each may stand in the configuration and in `args.cni`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    sysctl: RawObject,
    mac: Option<String>,
    promisc: Option<bool>,
    mtu: Mtu,
    allmulti: Option<bool>,
    #[serde(rename = "txQLen")]
    tx_queue_len: Option<u32>,
}

impl TuningConf {
    /// Configuration < CNI_ARGS `MAC` < `runtimeConfig.mac` < `args.cni` (PLG-TUNING-4).
    pub fn read(config: &RawObject, args: &CniArgs) -> Result<Self, Problem> {
        let cni = fit::object(&fit::object(config, "args")?, "cni").map_err(|p| p.under("/args"))?;
        let own: Source = fit::fit(config)?;
        let asked: Source = fit::fit(&cni).map_err(|p| p.under("/args/cni"))?;
        let mut sysctls = Vec::new();
        add_sysctls(&mut sysctls, &own.sysctl, "")?;
        add_sysctls(&mut sysctls, &asked.sysctl, "/args/cni")?;
        Ok(Self {
            sysctls,
            mac: mac(config, args, own.mac, asked.mac)?,
            promisc: asked.promisc.or(own.promisc).unwrap_or(false),
            mtu: if asked.mtu.get().is_some() { asked.mtu } else { own.mtu },
            allmulti: asked.allmulti.or(own.allmulti),
            tx_queue_len: asked.tx_queue_len.or(own.tx_queue_len),
            data_dir: data_dir(config)?,
        })
    }
}

/// Where backups are kept, the only key that DEL needs.
pub fn data_dir(config: &RawObject) -> Result<String, Problem> {
    let named: Option<String> = fit::key(config, "dataDir")?;
    match named.filter(|path| !path.is_empty()) {
        None => Ok(DATA_DIR.to_owned()),
        Some(path) if path.starts_with('/') && !path.contains('\0') => Ok(path),
        Some(path) => {
            let text = format!("`dataDir` `{}` is not an absolute path; begin it with `/`", printable(&path));
            Err(Problem::new("/dataDir", text))
        }
    }
}

/// A setting that stands there already takes the new value in its place.
fn add_sysctls(sysctls: &mut Vec<Sysctl>, object: &RawObject, place: &str) -> Result<(), Problem> {
    for (key, value) in object.iter() {
        let at = format!("{place}/sysctl{}", step(key));
        let value: String = serde_json::from_str(value.get()).map_err(|_| {
            let text = format!("the value of `{}` is not a string; write it in quotes", printable(key));
            Problem::new(at.clone(), text)
        })?;
        let new = Sysctl::new(key, value).map_err(|why| Problem::new(at, why))?;
        match sysctls.iter_mut().find(|old| old.pieces == new.pieces) {
            Some(old) => *old = new,
            None => sysctls.push(new),
        }
    }
    Ok(())
}

fn mac(
    config: &RawObject,
    args: &CniArgs,
    own: Option<String>,
    asked: Option<String>,
) -> Result<Option<Mac>, Problem> {
    let runtime = runtime::config(config)?;
    let by_runtime: Option<String> =
        fit::key(&runtime, "mac").map_err(|problem| problem.under("/runtimeConfig"))?;
    let sources = [
        ("/args/cni/mac", asked),
        ("/runtimeConfig/mac", by_runtime),
        ("", args.get("MAC").map(str::to_owned)),
        ("/mac", own),
    ];
    let mut given =
        sources.into_iter().filter_map(|(at, raw)| Some((at, raw.filter(|raw| !raw.is_empty())?)));
    let Some((pointer, raw)) = given.next() else { return Ok(None) };
    raw.parse().map(Some).map_err(|e: BadMac| {
        let source = if pointer.is_empty() { "CNI_ARGS: " } else { "" };
        Problem::new(pointer, format!("{source}{e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(raw: &str, args: &str) -> Result<TuningConf, Problem> {
        TuningConf::read(&RawObject::parse(raw.as_bytes()).unwrap(), &CniArgs::parse(args))
    }

    fn read(raw: &str) -> Result<TuningConf, Problem> {
        read_with(raw, "")
    }

    #[track_caller]
    fn refused(raw: &str, pointer: &str, part: &str) {
        let problem = read(raw).unwrap_err();
        assert_eq!(problem.pointer, pointer, "{problem}");
        assert!(problem.sentence.contains(part), "{problem}");
    }

    fn named(conf: &TuningConf, ifname: &str) -> Vec<String> {
        conf.sysctls.iter().map(|s| s.pieces(&ifname.parse().unwrap()).join("|") + "=" + &s.value).collect()
    }

    // Proves: PLG-TUNING-1, PLG-COM-26
    #[test]
    fn a_setting_is_named_by_dots_or_slashes_and_the_interface_stands_in_for_its_placeholder_once() {
        let conf = read(
            r#"{"sysctl":{"net.ipv4.conf.IFNAME.arp_filter":"1","net/core/somaxconn":"500","net.ipv6.conf.IFNAME.IFNAME":"0"}}"#,
        )
        .unwrap();
        assert_eq!(
            named(&conf, "net.1"),
            ["net|ipv4|conf|net.1|arp_filter=1", "net|core|somaxconn=500", "net|ipv6|conf|net.1|IFNAME=0"]
        );
    }

    // Proves: PLG-TUNING-1
    #[test]
    fn only_settings_of_the_network_may_be_named() {
        for key in
            ["kernel.hostname", "net", "net/../kernel/hostname", "network.x", "", "/etc/passwd", "vm/net"]
        {
            refused(
                &format!(r#"{{"sysctl":{{"{key}":"1"}}}}"#),
                &format!("/sysctl/{}", key.replace('/', "~1")),
                "",
            );
        }
        refused(r#"{"sysctl":{"net.core.somaxconn":5}}"#, "/sysctl/net.core.somaxconn", "not a string");
        refused(r#"{"sysctl":["net.core.somaxconn"]}"#, "/sysctl", "takes an object");
        assert!(
            RawObject::parse(br#"{"sysctl":{"net.a.b":"1","net.a.b":"2"}}"#).is_err(),
            "no key stands twice"
        );
    }

    // Proves: PLG-TUNING-3
    #[test]
    fn every_key_is_read_and_has_its_default() {
        let conf = read("{}").unwrap();
        let expected = TuningConf {
            sysctls: Vec::new(),
            mac: None,
            promisc: false,
            mtu: Mtu::default(),
            allmulti: None,
            tx_queue_len: None,
            data_dir: "/run/cni/tuning".into(),
        };
        assert_eq!(conf, expected);
        let conf = read(
            r#"{"mac":"02:00:00:00:00:01","promisc":true,"mtu":1400,"allmulti":false,"txQLen":0,"dataDir":"/x"}"#,
        )
        .unwrap();
        assert_eq!(conf.mac.unwrap().to_string(), "02:00:00:00:00:01");
        assert_eq!((conf.promisc, conf.mtu.get(), conf.allmulti), (true, Some(1400), Some(false)));
        assert_eq!((conf.tx_queue_len, conf.data_dir.as_str()), (Some(0), "/x"));
        refused(r#"{"mtu":-1}"#, "/mtu", "not an MTU");
        refused(r#"{"txQLen":-1}"#, "/txQLen", "txQLen");
        refused(r#"{"dataDir":"run"}"#, "/dataDir", "not an absolute path");
        refused(r#"{"promisc":"yes"}"#, "/promisc", "`true` or `false`");
        refused(r#"{"args":{"cni":{"allmulti":1}}}"#, "/args/cni/allmulti", "`true` or `false`");
    }

    // Proves: PLG-TUNING-4, PLG-COM-24
    #[test]
    fn args_cni_outranks_the_runtime_which_outranks_cni_args_and_the_key() {
        let own = r#""mac":"02:00:00:00:00:01","promisc":true,"mtu":1400,"allmulti":true,"txQLen":1,"sysctl":{"net.a.b":"1","net.a.c":"1"}"#;
        let runtime = r#""runtimeConfig":{"mac":"02:00:00:00:00:03"}"#;
        let asked = r#""args":{"cni":{"mac":"02:00:00:00:00:04","promisc":false,"mtu":1300,"allmulti":false,"txQLen":2,"sysctl":{"net/a/b":"2"}}}"#;
        let env = "MAC=02:00:00:00:00:02";
        let mac = |raw: &str, args: &str| read_with(raw, args).unwrap().mac.map(|mac| mac.to_string());
        let all = format!("{{{own},{runtime},{asked}}}");
        assert_eq!(mac(&all, env).unwrap(), "02:00:00:00:00:04");
        assert_eq!(mac(&format!("{{{own},{runtime}}}"), env).unwrap(), "02:00:00:00:00:03");
        assert_eq!(mac(&format!("{{{own}}}"), env).unwrap(), "02:00:00:00:00:02");
        assert_eq!(mac(&format!("{{{own}}}"), "").unwrap(), "02:00:00:00:00:01");
        let conf = read(&all).unwrap();
        assert_eq!((conf.promisc, conf.mtu.get(), conf.allmulti), (false, Some(1300), Some(false)));
        assert_eq!(conf.tx_queue_len, Some(2));
        assert_eq!(named(&conf, "eth0"), ["net|a|b=2", "net|a|c=1"]);
        // The reference ends with a crash here.
        let only_asked = read(&format!("{{{asked}}}")).unwrap();
        assert_eq!(named(&only_asked, "eth0"), ["net|a|b=2"]);
        assert!(read_with("{}", "MAC=x").unwrap_err().sentence.starts_with("CNI_ARGS: "));
    }
}
