//! One call of the executable: environment and stdin in, one JSON object or nothing out, an exit code.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use manifold_cni::call::{Call, Target};
use manifold_cni::exec::CALLED_BY;
use manifold_cni::{CniError, Version};

use crate::at_once::caught;
use crate::config::Config;
use crate::overdue;
use crate::shim::Shim;
use crate::source::ClusterEnvironment;

/// A configuration that lists every pod annotation is far below this. Bytes.
const MOST_STDIN: u64 = 4 << 20;

/// Reads one variable.
type Var = dyn Fn(&str) -> Option<String>;

/// The variables of the process, handed in by `main`.
pub struct Environment {
    var: Box<Var>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    pub fn new(var: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { var: Box::new(var) }
    }

    fn get(&self, key: &str) -> Option<String> {
        (self.var)(key)
    }

    /// What a pod's environment tells of its API server; used only when no kubeconfig is configured.
    fn cluster(&self) -> Option<ClusterEnvironment> {
        let host = self.get("KUBERNETES_SERVICE_HOST")?;
        Some(ClusterEnvironment::new(&host, &self.get("KUBERNETES_SERVICE_PORT")?))
    }
}

/// Serves one call. Returns the exit code.
pub fn serve(
    environment: &Environment,
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    stdout: &mut dyn Write,
) -> u8 {
    let began = Instant::now();
    let mut version = Version::NEWEST;
    match caught(|| answer(environment, stdin, stdout, began, &mut version)) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(code = error.code, "{error}");
            // Nobody may be reading; the exit code still says it.
            let _ = stdout.write_all(&error.to_json(version)).and_then(|()| stdout.flush());
            1
        }
    }
}

fn answer(
    environment: &Environment,
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    stdout: &mut dyn Write,
    began: Instant,
    version: &mut Version,
) -> Result<(), CniError> {
    let call = Call::from_env(|key| environment.get(key))?;
    match call.target {
        Target::About => return about(),
        Target::Version => return print(stdout, &manifold_cni::dispatch::version_answer(&Version::ALL)),
        _ => {}
    }
    if environment.get(CALLED_BY).is_some() {
        return below_itself(&call.target);
    }
    let config = read(stdin, version)?;
    let shim = shim(environment, config, &call.path, began);
    let is_del = matches!(call.target, Target::Del(_));
    overdue::answer_for(is_del, *version, &shim.config.state_dir);
    match call.target {
        Target::Add(at) => crate::add::add(&shim, &at, stdout),
        Target::Del(at) => crate::del::del(&shim, &at),
        Target::Check(at) => crate::check::check(&shim, &at),
        Target::Status => crate::status::status(&shim),
        Target::Gc => crate::gc::gc(&shim),
        Target::Version | Target::About => Ok(()),
    }
}

fn read(
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    version: &mut Version,
) -> Result<Config, CniError> {
    let bytes =
        stdin(MOST_STDIN + 1).map_err(|e| CniError::io(&e, format!("standard input cannot be read: {e}")))?;
    if bytes.len() as u64 > MOST_STDIN {
        return Err(CniError::config(format!(
            "the configuration on standard input is larger than {MOST_STDIN} bytes"
        )));
    }
    *version = manifold_cni::stdin::version_hint(&bytes);
    let config = Config::parse(&bytes)?;
    *version = config.cni_version;
    Ok(config)
}

fn shim(environment: &Environment, config: Config, path: &[PathBuf], began: Instant) -> Shim {
    crate::logging::start(&config.log);
    let folders: Vec<PathBuf> = config.plugin_folders(&std::env::join_paths(path).unwrap_or_default());
    let netns_override = environment.get("CNI_NETNS_OVERRIDE");
    Shim { config, folders, began, cluster: environment.cluster(), netns_override }
}

/// The process beside a call that undoes what the runtime forgot, with that call's environment and configuration.
pub fn undo_forgotten(
    environment: &Environment,
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    containers: &[&str],
) -> u8 {
    let undo = || {
        let config = read(stdin, &mut Version::NEWEST.clone())?;
        let path = environment.get("CNI_PATH").unwrap_or_default();
        let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let shim = shim(environment, config, &path, Instant::now());
        overdue::answer_for(false, Version::NEWEST, &shim.config.state_dir);
        crate::sweep::undo_forgotten(&shim, containers)
    };
    match caught(undo) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(code = error.code, "{error}");
            1
        }
    }
}

/// ADD is refused, so nothing is owed later: a DEL that failed would keep the pod for ever.
fn below_itself(target: &Target) -> Result<(), CniError> {
    if matches!(target, Target::Del(_) | Target::Gc) {
        return Ok(());
    }
    Err(CniError::config(
        "a network's plugin called Manifold itself; name the plugin that the network is to have instead",
    ))
}

#[expect(clippy::print_stderr, reason = "a person started it by hand and is told what it is")]
fn about() -> Result<(), CniError> {
    eprintln!(
        "manifold {}: attaches a pod to all its networks. A container runtime runs it with CNI_COMMAND set.\n\
         CNI versions: {}\nUnder a plugin's name it acts as that plugin: {}",
        env!("CARGO_PKG_VERSION"),
        Version::ALL.map(Version::as_str).join(", "),
        manifold_plugins::TYPES.join(", ")
    );
    Ok(())
}

fn print(stdout: &mut dyn Write, bytes: &[u8]) -> Result<(), CniError> {
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|e| CniError::io(&e, format!("the answer cannot be written to standard output: {e}")))
}
