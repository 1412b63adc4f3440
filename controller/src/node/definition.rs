//! The definition of the default network, as the API server has it: got, then watched, by its name alone.
//!
//! It is the only object that a node watches. The rights say `get` and `watch` of this name and no `list`, so the watch is
//! begun with what a `get` brought, or with nothing while there is no such definition.

use std::time::Duration;

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use manifold_crds::Nad;
use manifold_crds::nad_status::Unpublished;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::context::Stop;
use crate::objects::{self, Definition};

/// On the definition: every node gives its folders back. With [`LEAVE`] also under pods that have more networks.
pub const UNINSTALL: &str = "manifold.network/uninstall";
pub const LEAVE: &str = "leave";

const ANSWER: Duration = Duration::from_secs(10);
/// In seconds; below the server's own limit.
const WATCH: u32 = 285;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What was seen of it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether the API server has answered at all.
    pub told: bool,
    pub nad: Option<Nad>,
    pub uid: String,
    /// Pods whose status is to be published again.
    pub republish: Vec<Unpublished>,
    /// The value of [`UNINSTALL`].
    pub uninstall: Option<String>,
}

/// Follows it until it is time to end.
pub async fn follow(client: Client, namespace: &str, name: &str, seen: watch::Sender<Seen>, mut stop: Stop) {
    let api = objects::of_namespace(client, namespace);
    let mut failures = 0;
    loop {
        let followed = tokio::select! {
            () = stop.asked() => return,
            followed = once(&api, name, &seen) => followed,
        };
        match followed {
            Ok(()) => failures = 0,
            Err(why) => {
                tracing::warn!("the definition `{namespace}/{name}` cannot be watched; retrying: {why:#}");
                failures += 1;
            }
        }
        tokio::select! {
            () = stop.asked() => return,
            () = sleep(wait(failures)) => {}
        }
    }
}

/// All nodes lose a server at the same time: they come back apart.
fn wait(failures: u32) -> Duration {
    let longest = Duration::from_millis(500 << failures.min(8)).min(LONGEST_WAIT);
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), failures);
    longest.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
}

/// One `get`, and the watch that goes on from it until it ends.
async fn once(api: &Api<DynamicObject>, name: &str, seen: &watch::Sender<Seen>) -> anyhow::Result<()> {
    let found = timeout(ANSWER, api.get_opt(name)).await??;
    tell(seen, found.as_ref());
    // Without a version, of what does not exist, the server begins with what there is by then: no node asks for it again
    // and again.
    let version = found.as_ref().and_then(DynamicObject::resource_version).unwrap_or_default();
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH);
    let stream = timeout(ANSWER, api.watch(&params, &version)).await??;
    futures::pin_mut!(stream);
    while let Some(event) = stream.next().await {
        match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => tell(seen, Some(&object)),
            WatchEvent::Deleted(_) => tell(seen, None),
            WatchEvent::Bookmark(_) => {}
            // 410: too old. The next `get` brings what was missed.
            WatchEvent::Error(status) if status.code == 410 => return Ok(()),
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        }
    }
    Ok(())
}

fn tell(seen: &watch::Sender<Seen>, object: Option<&DynamicObject>) {
    seen.send_if_modified(|then| {
        // Deleted under the mark it says nothing new: a node that has given its folders back stays so.
        let gone = || Seen { told: true, uninstall: then.uninstall.clone(), ..Seen::default() };
        let now = object.map_or_else(gone, read);
        let is_other = *then != now;
        *then = now;
        is_other
    });
}

fn read(object: &DynamicObject) -> Seen {
    let uninstall = object.annotations().get(UNINSTALL).cloned();
    match Definition::read(object) {
        Ok(definition) => {
            // What says nothing about the network is not mirrored, so that marks and counts write no file.
            let mut nad = definition.nad.clone();
            nad.annotations.remove(UNINSTALL);
            nad.annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            nad.finalizers.clear();
            Seen {
                told: true,
                nad: Some(nad),
                uid: definition.uid,
                republish: definition.status.republish,
                uninstall,
            }
        }
        Err(why) => {
            tracing::warn!("{why}");
            Seen { told: true, uid: object.uid().unwrap_or_default(), uninstall, ..Seen::default() }
        }
    }
}
