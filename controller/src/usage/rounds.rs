//! What the worker does now and then: it counts, and looks for pods that run without a status.

use std::time::Instant;

use futures::FutureExt as _;

use crate::events::{About, Reason, Severity};
use crate::usage::missing::runs_without_status;
use crate::usage::observed::Observed;
use crate::usage::pod::Uid;
use crate::usage::worker::Worker;

const MISSING: &str =
    "the pod runs and asked for networks, but has no network status; its node is asked to publish it";
const HOPELESS: &str = "the pod still has no network status, so it was started without its networks, for example while another configuration was the first on its node (see `ConfigurationRestored` there); delete the pod so that it is created again with its networks";

impl Worker {
    pub(super) async fn round(&mut self) {
        self.count();
        if !self.is_ready() {
            return;
        }
        let now = Instant::now();
        self.missing.sync(self.index.awaiting(), now);
        if self.looking.is_empty() {
            for uid in self.missing.due(now) {
                self.look(uid);
            }
        }
        for uid in self.missing.hopeless(now) {
            self.tell_pod(uid, HOPELESS).await;
        }
        if self.missing.mark(&self.index, now) {
            let default = self.default.clone();
            self.want(&default);
        }
        self.metrics.without_status(self.missing.count());
    }

    fn look(&self, uid: Uid) {
        let Some((namespace, name)) = self.index.pod(uid) else { return };
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let client = self.context.client.clone();
        let look = async move { (uid, runs_without_status(&client, uid, &namespace, &name).await) };
        self.looking.push(look.boxed());
    }

    pub(super) async fn looked(&mut self, (uid, runs): (Uid, bool)) {
        let now = Instant::now();
        if runs && self.missing.runs(uid, now) {
            self.tell_pod(uid, MISSING).await;
            self.metrics.without_status(self.missing.count());
        }
    }

    async fn tell_pod(&mut self, uid: Uid, sentence: &str) {
        let Some((namespace, name)) = self.index.pod(uid) else { return };
        let about =
            About::Pod { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_string() };
        self.context.events.tell(&about, Severity::Warning, Reason::NetworkStatusMissing, sentence).await;
    }

    pub(super) fn count(&self) {
        let is_invalid =
            |o: &&Observed| o.definition.status.condition("Valid").is_some_and(|c| c.status == "False");
        let invalid = self.definitions.values().filter(is_invalid).count();
        let in_use = self.definitions.keys().filter(|nad| self.index.count(nad) > 0).count();
        self.metrics.holds(self.index.pods(), self.definitions.len(), in_use, invalid);
    }
}
