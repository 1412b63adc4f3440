//! An event as `events.k8s.io/v1` has it.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use manifold_crds::{ipam, keys};

use super::{About, Reason, Told};

const CONTROLLER: &str = "manifold.network/controller";
/// The server's limit, in bytes.
const NOTE: usize = 1024;
const INSTANCE: usize = 128;
/// The name of an event ends in 16 hexadecimal digits and a dot, and may have 253 bytes.
const NAME: usize = 236;

pub(super) fn event(told: &Told, replica: &str, now: Timestamp) -> Event {
    let regarding = regarding(&told.about);
    let name = cut(regarding.name.as_deref().unwrap_or("manifold"), NAME).trim_end_matches(['.', '-']);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:016x}", now.as_nanosecond())),
            namespace: Some(namespace(&told.about)),
            ..ObjectMeta::default()
        },
        action: Some(action(told.reason).to_owned()),
        reason: Some(format!("{:?}", told.reason)),
        note: Some(cut(&told.sentence, NOTE).to_owned()),
        type_: Some(format!("{:?}", told.severity)),
        event_time: Some(MicroTime(now)),
        regarding: Some(regarding),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(cut(replica, INSTANCE).to_owned()),
        ..Event::default()
    }
}

/// Whether the event comes from this replica or node: policy lets nobody else write such an event.
pub fn is_told_by(event: &Event, replica: &str) -> bool {
    event.reporting_controller.as_deref() == Some(CONTROLLER)
        && event.reporting_instance.as_deref() == Some(cut(replica, INSTANCE))
}

pub(super) fn namespace(about: &About) -> String {
    match about {
        About::Definition { reference, .. } => reference.namespace.to_string(),
        About::Pod { namespace, .. } => namespace.clone(),
        // Events of objects without a namespace are kept there.
        About::Crd { .. } | About::Node { .. } | About::Pool { .. } => "default".to_owned(),
    }
}

fn regarding(about: &About) -> ObjectReference {
    let (version, kind, name, uid) = match about {
        About::Definition { reference, uid } => {
            (keys::API_VERSION, keys::KIND, reference.name.to_string(), uid)
        }
        About::Pod { name, uid, .. } => ("v1", "Pod", name.clone(), uid),
        About::Node { name, uid } => ("v1", "Node", name.clone(), uid),
        About::Pool { name, uid } => (ipam::API_VERSION, ipam::pool::KIND, name.clone(), uid),
        About::Crd { name, uid } => {
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", name.clone(), uid)
        }
    };
    ObjectReference {
        api_version: Some(version.to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(name),
        namespace: matches!(about, About::Definition { .. } | About::Pod { .. }).then(|| namespace(about)),
        uid: Some(uid.clone()),
        ..ObjectReference::default()
    }
}

fn action(reason: Reason) -> &'static str {
    match reason {
        Reason::NetworkInvalid | Reason::NetworkValid => "Checked",
        Reason::NetworkKept | Reason::NetworkReleased => "Counted",
        Reason::NetworkStatusMissing | Reason::PolicyMissing => "Missed",
        Reason::CrdRestored
        | Reason::DefaultNetworkRestored
        | Reason::ConfigurationRestored
        | Reason::ExecutableRestored => "Restored",
        Reason::NetworksAttached | Reason::NetworksNotAttached => "Attached",
        Reason::NetworksNotDetached => "Detached",
        Reason::NetworkStatusNotPublished => "Published",
        Reason::FoldersNotRead => "Compared",
        Reason::NodeUninstalled | Reason::NodeNotUninstalled => "Uninstalled",
        Reason::AddressesExhausted
        | Reason::AddressesNearlyExhausted
        | Reason::AddressesAvailable
        | Reason::AddressConflict => "Counted",
        Reason::AddressesReclaimed => "Reclaimed",
        Reason::AddressesLost => "Missed",
    }
}

/// Never in the middle of a letter.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn an_event_fits_the_servers_limits_whatever_is_told() {
        let about = About::Pod { namespace: "shop".into(), name: "p".repeat(253), uid: "u".into() };
        let sentence = "ü".repeat(2000);
        let told =
            Told { about, severity: Severity::Warning, reason: Reason::NetworkStatusMissing, sentence };
        let event = event(&told, &"r".repeat(300), Timestamp::now());
        assert!(event.metadata.name.unwrap().len() <= 253);
        assert!(event.note.unwrap().len() <= 1024);
        assert!(event.reporting_instance.unwrap().len() <= 128);
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.reason.as_deref(), Some("NetworkStatusMissing"));
    }
}
