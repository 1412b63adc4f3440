//! One call of the executable: environment and stdin in, one JSON object or nothing out, an exit code.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use manifold_cni::call::{Call, Target};
use manifold_cni::exec::CALLED_BY;
use manifold_cni::{CniError, ContainerId, Verb, Version};
use manifold_plugins::ipam::cluster_local::{self, Surroundings};

use crate::at_once::caught;
use crate::config::Config;
use crate::shim::Shim;
use crate::source::ClusterEnvironment;
use crate::{apart, gc, overdue, sweep};

/// A configuration that lists every pod annotation is far below this. Bytes.
const MOST_STDIN: u64 = 4 << 20;
/// The same with what a process of ours is to do. Bytes.
const MOST_STDIN_APART: u64 = 2 * MOST_STDIN;

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
    if has_nothing_to_delete(environment) {
        return Ok(());
    }
    let call = Call::from_env(|key| environment.get(key))?;
    match call.target {
        Target::About => return about(),
        Target::Version => return print(stdout, &manifold_cni::dispatch::version_answer(&Version::ALL)),
        _ => {}
    }
    if environment.get(CALLED_BY).is_some() {
        return below_itself(&call.target);
    }
    let config = read(stdin, MOST_STDIN, version)?;
    let shim = shim(environment, config, &call.path, began);
    overdue::answer_for(verb(&call.target), *version, &shim.config.state_dir);
    tell_plugins(&shim);
    match call.target {
        Target::Add(at) => crate::add::add(&shim, &at, stdout),
        Target::Del(at) => crate::del::del(&shim, &at),
        Target::Check(at) => crate::check::check(&shim, &at),
        Target::Status => crate::status::status(&shim),
        Target::Gc => gc::gc(&shim),
        Target::Version | Target::About => Ok(()),
    }
}

/// DEL of a sandbox that no ADD can have attached: an error would keep the pod for ever (F-INP-8).
fn has_nothing_to_delete(environment: &Environment) -> bool {
    let is = |key, what: fn(&str) -> bool| environment.get(key).is_some_and(|value| what(&value));
    is("CNI_COMMAND", |verb| verb == Verb::Del.as_str())
        && is("CNI_CONTAINERID", ContainerId::is_only_too_long)
}

fn verb(target: &Target) -> Option<Verb> {
    Some(match target {
        Target::Add(_) => Verb::Add,
        Target::Del(_) => Verb::Del,
        Target::Check(_) => Verb::Check,
        Target::Status => Verb::Status,
        Target::Gc => Verb::Gc,
        Target::Version | Target::About => return None,
    })
}

fn read(
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    most: u64,
    version: &mut Version,
) -> Result<Config, CniError> {
    let bytes =
        stdin(most + 1).map_err(|e| CniError::io(&e, format!("standard input cannot be read: {e}")))?;
    if bytes.len() as u64 > most {
        return Err(CniError::config(format!(
            "the configuration on standard input is larger than {most} bytes"
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

/// What the bundled plugins cannot read in a network's configuration. The addresses of an ADD are claimed before they run.
fn tell_plugins(shim: &Shim) {
    cluster_local::tell(Surroundings { state_dir: shim.config.state_dir.clone(), claims: None });
}

/// A process of ours beside a call, with that call's environment and configuration. The first word says what it is to do.
/// It answers on `stdout` as a call does.
pub fn serve_apart(
    environment: &Environment,
    stdin: impl FnOnce(u64) -> std::io::Result<Vec<u8>>,
    stdout: &mut dyn Write,
    words: &[&str],
) -> u8 {
    let work = || {
        let config = read(stdin, MOST_STDIN_APART, &mut Version::NEWEST.clone())?;
        let path = environment.get("CNI_PATH").unwrap_or_default();
        let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let shim = shim(environment, config, &path, Instant::now());
        overdue::answer_for(None, Version::NEWEST, &shim.config.state_dir);
        tell_plugins(&shim);
        match words {
            [sweep::UNDO, containers @ ..] => sweep::undo_forgotten(&shim, containers),
            [apart::UNDO, words @ ..] => apart::undo_one(&shim, words),
            [gc::NETWORK, words @ ..] => gc::one_network(&shim, words),
            _ => Err(apart::bad_words()),
        }
    };
    match caught(work) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(code = error.code, "{error}");
            // Nobody may be reading; the exit code still says it.
            let _ = stdout.write_all(&error.to_json(Version::NEWEST)).and_then(|()| stdout.flush());
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
