//! Reads each of them by name, and compares.

use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Api, Client};
use tokio::time::timeout;

use crate::cluster::drift;
use crate::cluster::metrics::State;

use super::condition::{Finding, Findings};
use super::expected::{Expected, content};

const READ: Duration = Duration::from_secs(10);

/// An answer that does not come is an error, never a finding.
pub(super) async fn look(client: &Client, expected: &[Expected]) -> Result<Findings, kube::Error> {
    let mut findings = Vec::new();
    for one in expected {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &one.resource);
        let slow = |_| kube::Error::Service(format!("no answer for `{}` in time", one.name).into());
        let found = timeout(READ, api.get_opt(&one.name)).await.map_err(slow)??;
        findings.extend(judge(one, found.as_ref()));
    }
    Ok(Findings(findings))
}

fn judge(expected: &Expected, found: Option<&DynamicObject>) -> Option<Finding> {
    let finding = |state, place| Finding { kind: expected.kind, name: expected.name.clone(), state, place };
    match found {
        None => Some(finding(State::Missing, String::new())),
        Some(object) if object.metadata.deletion_timestamp.is_some() => {
            Some(finding(State::Missing, String::new()))
        }
        Some(object) => drift::place(&expected.content, &content(expected.kind, &object.data))
            .map(|place| finding(State::Changed, place)),
    }
}
