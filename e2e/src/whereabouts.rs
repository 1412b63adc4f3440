//! whereabouts, an IPAM plugin that is not ours, for tests that have it executed: the executable, and the definitions
//! of its objects in an API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::go_tool::GoTool;
use crate::kubeconfig;

const MODULE: &str = "github.com/k8snetworkplumbingwg/whereabouts";
const GROUP: &str = "/apis/whereabouts.cni.cncf.io/v1alpha1";
const PATIENCE: Duration = Duration::from_secs(60);

fn tool() -> GoTool {
    GoTool {
        module: "e2e/whereabouts",
        sources: &["go.mod", "go.sum"],
        package: "github.com/k8snetworkplumbingwg/whereabouts/cmd",
        name: "whereabouts",
        about: "whereabouts, an IPAM plugin (some minutes the first time)",
        linker: String::new(),
    }
}

/// The cached executable; built first where the cache lacks it. `progress` hears one line per step.
pub fn executable(progress: &mut dyn FnMut(&str)) -> anyhow::Result<PathBuf> {
    tool().executable(progress)
}

/// Defines its objects, as its release does, and returns when the server answers for them.
pub fn install(api: &ApiServer) -> anyhow::Result<()> {
    let folder = tool().module_folder(MODULE)?.join("doc/crds");
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        if !text.contains("\nkind: CustomResourceDefinition\n") {
            continue;
        }
        let definition: Value =
            serde_yaml::from_str(&text).with_context(|| format!("`{}` is not YAML", path.display()))?;
        api.client()
            .create_if_missing("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?;
    }
    let deadline = Instant::now() + PATIENCE;
    for kind in ["ippools", "overlappingrangeipreservations"] {
        while !api.client().get(&format!("{GROUP}/{kind}?limit=1"))?.ok() {
            if Instant::now() > deadline {
                bail!("the API server does not serve `{kind}` after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Writes the file that it wants on every node, and a kubeconfig by which its pools lie in `namespace`; returns the
/// value of `ipam.configuration_path`.
pub fn configure(api: &ApiServer, folder: &Path, namespace: &str) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(api.kubeconfig()).context("cannot read the kubeconfig")?;
    let mut access: Value = serde_yaml::from_str(&text).context("the kubeconfig is not YAML")?;
    let context = access.pointer_mut("/contexts/0/context").context("the kubeconfig has no context")?;
    if let Some(context) = context.as_object_mut() {
        context.insert("namespace".into(), namespace.into());
    }
    let kubeconfig = folder.join("whereabouts.kubeconfig");
    kubeconfig::write_secret(&kubeconfig, &access.to_string())?;
    let path = folder.join("whereabouts.conf");
    // Each call is elected, and those after it look again this often. Milliseconds.
    let conf = json!({"datastore": "kubernetes", "kubernetes": {"kubeconfig": kubeconfig}, "log_level": "error",
        "leader_lease_duration": 1500, "leader_renew_deadline": 1000, "leader_retry_period": 100});
    fs::write(&path, conf.to_string()).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

/// The addresses that a namespace's pools have given away, each with whom it was given to: by the offset from the
/// pool's base.
pub fn allocations(api: &ApiServer, namespace: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let path = format!("{GROUP}/namespaces/{namespace}/ippools");
    let list = api.client().get(&path)?.json()?;
    let pools = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_pool = |pool: Value| pool.pointer("/spec/allocations").and_then(Value::as_object).cloned();
    Ok(pools.into_iter().filter_map(of_pool).flatten().collect())
}

/// The addresses that are reserved over all pools of a namespace, by name.
pub fn reservations(api: &ApiServer, namespace: &str) -> anyhow::Result<Vec<String>> {
    let path = format!("{GROUP}/namespaces/{namespace}/overlappingrangeipreservations");
    let list = api.client().get(&path)?.json()?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
    Ok(items.iter().filter_map(name).collect())
}
