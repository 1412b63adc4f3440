//! The configuration file of the node agent: YAML, every key optional, an unknown key refused.
//!
//! `namespace`, `defaultNetwork` and `networks` are those of the controller, so that both are rendered from one source;
//! what they say goes into the configuration entry of this node (`docs/configuration.md`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use manifold_cni::{IfName, PluginType, Version};
use manifold_ledger::installed::below;
use manifold_plan::Policy;
use serde::Deserialize;

use crate::config;

/// Everything that the node agent can be told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    pub namespace: String,
    /// The account whose tokens the shim speaks with.
    pub shim_account: String,
    pub default_network: config::DefaultNetworkConfig,
    pub networks: config::Networks,
    pub host: Host,
    pub executable: Executable,
    pub cni_version: CniVersion,
    /// What the runtime may pass for the default network; absent: what that network's plugins declare.
    pub capabilities: Option<Vec<String>>,
    /// Whether the runtime passes the pod's annotations.
    pub pod_annotations: PodAnnotations,
    /// What CHECK of the shim checks.
    pub check: CheckScope,
    pub api_server: ApiServer,
    pub token: Token,
    pub log: Log,
    pub limits: Limits,
    pub built_in: BuiltIn,
    pub status_address: SocketAddr,
}

/// Folders and sockets, as the host names them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Host {
    /// Below which the host's folders are mounted here.
    pub root: PathBuf,
    pub bin_dir: PathBuf,
    pub conf_dir: PathBuf,
    pub state_dir: PathBuf,
    /// Where the kubelet tells of devices; absent: where it is by default.
    pub pod_resources_socket: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Executable {
    /// The file that is installed as `manifold`.
    pub source: PathBuf,
    /// Plugins under whose names it is installed too; `all` is every bundled one.
    pub links: Vec<String>,
}

/// The version of the configuration that the runtime reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum CniVersion {
    /// As the Node object tells of the runtime.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "1.0.0")]
    V1_0,
    #[serde(rename = "1.1.0")]
    V1_1,
}

/// Whether the runtime passes a pod's annotations to plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BoolOrWord")]
pub enum PodAnnotations {
    /// As the Node object tells of the runtime.
    #[default]
    Auto,
    Passed,
    NotPassed,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BoolOrWord {
    Bool(bool),
    Word(String),
}

impl TryFrom<BoolOrWord> for PodAnnotations {
    type Error = String;

    fn try_from(value: BoolOrWord) -> Result<Self, String> {
        match value {
            BoolOrWord::Bool(true) => Ok(Self::Passed),
            BoolOrWord::Bool(false) => Ok(Self::NotPassed),
            BoolOrWord::Word(word) if word == "auto" => Ok(Self::Auto),
            BoolOrWord::Word(word) => {
                Err(format!("`podAnnotations` is `{word}`, and must be `auto`, `true` or `false`"))
            }
        }
    }
}

/// Which attachments CHECK of the shim checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckScope {
    #[default]
    Default,
    All,
    Off,
}

/// How the shim reaches the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApiServer {
    /// `https://ADDRESS:PORT`; empty: the service address that pods are told.
    pub address: String,
    pub tls_server_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Token {
    /// How long a token lives; it is renewed at a quarter of that.
    pub seconds: u32,
}

/// The log of the shim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    pub level: LogLevel,
    pub file: String,
    pub to_stderr: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Panic,
    Error,
    Verbose,
    Debug,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    pub delegate_seconds: u32,
    pub add_seconds: u32,
}

/// The default network that the node agent makes itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BuiltIn {
    pub bridge: String,
    /// 0: the kernel's.
    pub mtu: u32,
    /// Pod CIDRs of the whole cluster: pods keep their address towards them.
    pub cluster_cidrs: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "manifold-system".into(),
            shim_account: "manifold-shim".into(),
            default_network: config::DefaultNetworkConfig::default(),
            networks: config::Networks::default(),
            host: Host::default(),
            executable: Executable::default(),
            cni_version: CniVersion::Auto,
            capabilities: None,
            pod_annotations: PodAnnotations::Auto,
            check: CheckScope::Default,
            api_server: ApiServer::default(),
            token: Token::default(),
            log: Log::default(),
            limits: Limits::default(),
            built_in: BuiltIn::default(),
            status_address: ([0, 0, 0, 0], 8081).into(),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            root: "/".into(),
            bin_dir: "/opt/cni/bin".into(),
            conf_dir: "/etc/cni/net.d".into(),
            state_dir: "/var/lib/cni/manifold".into(),
            pod_resources_socket: None,
        }
    }
}

impl Default for Executable {
    fn default() -> Self {
        Self { source: "/manifold".into(), links: Vec::new() }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self { seconds: 86_400 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Error, file: String::new(), to_stderr: true }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { delegate_seconds: 30, add_seconds: 90 }
    }
}

impl Default for BuiltIn {
    fn default() -> Self {
        Self { bridge: "mfd0".into(), mtu: 0, cluster_cidrs: Vec::new() }
    }
}

impl Host {
    /// The folders as they are reached from here.
    pub fn bin(&self) -> PathBuf {
        below(&self.root, &self.bin_dir)
    }

    pub fn conf(&self) -> PathBuf {
        below(&self.root, &self.conf_dir)
    }

    pub fn state(&self) -> PathBuf {
        below(&self.root, &self.state_dir)
    }
}

impl Executable {
    /// The names of the links, each once.
    pub fn link_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.links.iter().filter(|l| *l != "all").cloned().collect();
        if self.links.iter().any(|l| l == "all") {
            names.extend(manifold_plan::check_config::bundled_types().map(str::to_owned));
        }
        names.sort();
        names.dedup();
        names
    }
}

impl CniVersion {
    /// `None`: the Node object tells.
    pub fn fixed(self) -> Option<Version> {
        match self {
            Self::Auto => None,
            Self::V1_0 => Some(Version::V1_0_0),
            Self::V1_1 => Some(Version::V1_1_0),
        }
    }
}

impl Config {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        config::of_file(path, Self::parse)
    }

    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = serde_yaml::from_str(text)?;
        config.policy()?;
        config.check()?;
        Ok(config)
    }

    /// What the shim plans with.
    pub fn policy(&self) -> anyhow::Result<Policy> {
        let Self { namespace, default_network, networks, .. } = self.clone();
        config::Config { namespace, default_network, networks, ..config::Config::default() }.policy()
    }

    fn check(&self) -> anyhow::Result<()> {
        let Host { root, bin_dir, conf_dir, state_dir, pod_resources_socket } = &self.host;
        let paths = [("root", root), ("binDir", bin_dir), ("confDir", conf_dir), ("stateDir", state_dir)];
        let socket = pod_resources_socket.iter().map(|path| ("podResourcesSocket", path));
        for (key, path) in paths.into_iter().chain(socket) {
            if !path.is_absolute() {
                bail!("`host.{key}` is `{}`, and must be an absolute path", path.display());
            }
        }
        if !self.executable.source.is_absolute() {
            bail!(
                "`executable.source` is `{}`, and must be an absolute path",
                self.executable.source.display()
            );
        }
        for link in self.executable.link_names() {
            link.parse::<PluginType>().context("`executable.links`")?;
            if link == crate::node::EXECUTABLE {
                bail!("`executable.links` has `{link}`, which is the executable itself; remove it");
            }
            if !manifold_plan::check_config::bundled_types().any(|kind| kind == link) {
                bail!("`executable.links` has `{link}`, which is not a bundled plugin; remove it");
            }
        }
        if !(600..=86_400).contains(&self.token.seconds) {
            bail!("`token.seconds` is {}, and must be from 600 to 86400", self.token.seconds);
        }
        for (key, value) in
            [("delegateSeconds", self.limits.delegate_seconds), ("addSeconds", self.limits.add_seconds)]
        {
            if !(1..=3600).contains(&value) {
                bail!("`limits.{key}` is {value}, and must be from 1 to 3600");
            }
        }
        let address = &self.api_server.address;
        if !address.is_empty() && !address.starts_with("https://") {
            bail!("`apiServer.address` is `{address}`, and must begin with `https://`");
        }
        if !self.log.file.is_empty() && !Path::new(&self.log.file).is_absolute() {
            bail!("`log.file` is `{}`, and must be an absolute path", self.log.file);
        }
        self.built_in.bridge.parse::<IfName>().context("`builtIn.bridge`")?;
        if self.built_in.mtu != 0 && !(1280..=65_535).contains(&self.built_in.mtu) {
            bail!(
                "`builtIn.mtu` is {}, and must be 0 (the kernel's) or from 1280 to 65535",
                self.built_in.mtu
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(Config::parse("{}").unwrap(), Config::default());
    }

    // Proves: P-UP-10
    #[test]
    fn what_is_wrong_is_told_with_its_key_and_what_it_must_be() {
        let told = |text: &str| format!("{:#}", Config::parse(text).unwrap_err());
        for (text, words) in [
            ("host: {binDir: opt/cni}", "`host.binDir` is `opt/cni`, and must be an absolute path"),
            ("executable: {links: [calico]}", "`calico`, which is not a bundled plugin"),
            ("executable: {links: [../x]}", "`executable.links`"),
            ("token: {seconds: 90000}", "must be from 600 to 86400"),
            ("limits: {addSeconds: 0}", "`limits.addSeconds` is 0"),
            ("apiServer: {address: 'http://x'}", "must begin with `https://`"),
            ("builtIn: {bridge: a/b}", "`builtIn.bridge`"),
            ("builtIn: {mtu: 9}", "`builtIn.mtu` is 9"),
            ("cniVersion: '0.4.0'", "cniVersion"),
            ("podAnnotations: maybe", "`podAnnotations` is `maybe`, and must be `auto`, `true` or `false`"),
            ("check: none", "check"),
            ("namespace: Shop", "`namespace`"),
            ("hostt: {}", "hostt"),
        ] {
            assert!(told(text).contains(words), "{text}: {}", told(text));
        }
    }

    #[test]
    fn folders_are_reached_below_the_root_and_named_as_the_host_names_them() {
        let config = Config::parse("host: {root: /host}").unwrap();
        assert_eq!(config.host.bin(), Path::new("/host/opt/cni/bin"));
        assert_eq!(config.host.bin_dir, Path::new("/opt/cni/bin"));
        assert_eq!(Config::default().host.bin(), Path::new("/opt/cni/bin"));
    }

    #[test]
    fn all_links_are_the_bundled_types() {
        let names = Config::parse("executable: {links: [bridge, all]}").unwrap().executable.link_names();
        assert!(names.len() > 15 && names.iter().filter(|n| *n == "bridge").count() == 1, "{names:?}");
    }
}
