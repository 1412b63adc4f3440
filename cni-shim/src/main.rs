//! `manifold`: what the container runtime runs. Under the name of a bundled plugin it is that plugin alone.
//!
//! Reads the environment and standard input, calls the library, prints, and picks the exit code.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use manifold::call::{self, Environment};
use manifold::{apart, gc, sweep};

fn main() -> ExitCode {
    // Before anything is made: entries, leases and logs are for root alone (S-3).
    manifold_cni::file_mask::keep_private();
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (name.as_str(), words.as_slice()) {
        // As the reference's executable is called, and under our own name.
        ("dhcp", ["daemon", flags @ ..]) | (_, ["dhcp", "daemon", flags @ ..]) => return dhcp_daemon(flags),
        ("dhcp", ["status", flags @ ..]) | (_, ["dhcp", "status", flags @ ..]) => return dhcp_status(flags),
        (_, ["--version"]) => {
            let _ = writeln!(std::io::stdout(), "manifold {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        // A container runtime passes no arguments.
        ("manifold", ["uninstall", words @ ..]) => return uninstall(words),
        ("manifold", [sweep::UNDO | apart::UNDO | gc::NETWORK, ..]) => {
            return ExitCode::from(call::serve_apart(
                &environment(),
                read_stdin,
                &mut std::io::stdout(),
                &words,
            ));
        }
        _ => {}
    }
    if let Some(plugin) = manifold_plugins::bundled(&name) {
        tell_plugins();
        return manifold_cni::skel::run(plugin);
    }
    ExitCode::from(call::serve(&environment(), read_stdin, &mut std::io::stdout()))
}

/// The plugin alone: called by another meta-plugin, or by an interface plugin that the shim executed and told its folder.
fn tell_plugins() {
    use manifold::source::kubernetes::addresses::{claims, kubeconfig};
    use manifold_plugins::ipam::cluster_local::{DEFAULT_STATE_DIR, Surroundings, tell};
    let state_dir = std::env::var_os(manifold::chain::STATE_DIR).filter(|dir| !dir.is_empty());
    let state_dir = state_dir.map_or_else(|| DEFAULT_STATE_DIR.into(), std::path::PathBuf::from);
    let has_cluster = kubeconfig(&state_dir).exists();
    tell(Surroundings { state_dir, claims: if has_cluster { Some(claims) } else { None } });
}

fn environment() -> Environment {
    Environment::new(|key| std::env::var(key).ok())
}

fn read_stdin(most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(most).read_to_end(&mut bytes).map(|_| bytes)
}

fn uninstall(words: &[&str]) -> ExitCode {
    match manifold::uninstall::run(words) {
        Ok(told) => {
            let _ = writeln!(std::io::stdout(), "{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// For who asks whether the daemon serves, such as a readiness probe.
fn dhcp_status(flags: &[&str]) -> ExitCode {
    use manifold_dhcp::daemon::{Flags, status};
    let asked = Flags::parse(flags.iter().map(|word| (*word).to_owned()))
        .map_err(anyhow::Error::msg)
        .and_then(|flags| status(&flags).map_err(anyhow::Error::from));
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dhcp_daemon(flags: &[&str]) -> ExitCode {
    use manifold_dhcp::daemon::{Activation, Flags, run};
    // A server's words are in some of its lines.
    let to = || manifold_cni::log_line::OneLine(std::io::stderr());
    tracing_subscriber::fmt().with_writer(to).with_ansi(false).init();
    let variable = |key| std::env::var(key).ok();
    let activation = Activation { pid: variable("LISTEN_PID"), fds: variable("LISTEN_FDS") };
    let ran = Flags::parse(flags.iter().map(|word| (*word).to_owned()))
        .map_err(anyhow::Error::msg)
        .and_then(|flags| run(&flags, &activation));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}
