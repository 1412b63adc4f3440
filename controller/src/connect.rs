//! The way to the API server, and who this process is there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Longer than a watch lasts (290 s); a request that hangs ends by this at the latest.
const READ: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(5);

/// Who may do what is the server's to say: by the kubeconfig, or by the service account of the pod.
pub async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    of(config(kubeconfig).await?)
}

pub fn of(config: Config) -> anyhow::Result<Client> {
    Client::try_from(config).context("the API server's address or certificates cannot be used")
}

/// The same, before anything is opened.
pub async fn config(kubeconfig: Option<&Path>) -> anyhow::Result<Config> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await.with_context(|| format!("kubeconfig `{}`", path.display()))?,
        None => Config::incluster()
            .context("this is not a pod with a service account; set a kubeconfig with `--kubeconfig`")?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    config.reset_reader_on_write = true;
    Ok(config)
}

async fn from_file(path: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// In a pod: the pod's name.
pub fn host_name() -> anyhow::Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .context("the host's name cannot be read; set the name of this replica with `--replica`")?;
    Ok(name.trim().to_owned())
}

/// A word that no other process ever has: a container that starts anew in its pod is another candidate.
pub fn unique(replica: &str) -> anyhow::Result<String> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("the kernel gives no UUID")?;
    Ok(format!("{replica}_{}", uuid.trim()))
}
