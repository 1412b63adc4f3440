//! One history: somebody makes, changes, completes and deletes pods while somebody else does the same with definitions.
//!
//! The API server's answers are not foreseen, only bounded: the webhook may refuse what is in use or terminating, or be
//! away. What has to hold is asked of the stored objects afterwards.

use manifold_e2e::api_client::Session;
use serde_json::json;

use super::random::Random;
use crate::stored::{NETWORKS, definition, definitions, pod, pods};

pub(super) const DEFINITIONS: u64 = 4;
const PODS: u64 = 8;

/// What the API server may say: done, not there, there already or changed meanwhile, refused by a policy or the webhook.
fn allowed(code: u16) -> bool {
    (200..300).contains(&code) || [403, 404, 409].contains(&code)
}

fn must(what: &str, answer: &manifold_e2e::api_client::Answer) -> anyhow::Result<()> {
    anyhow::ensure!(allowed(answer.status), "{what} was answered {}: {}", answer.status, answer.text());
    Ok(())
}

pub(super) fn of_pods(
    session: &mut Session,
    namespace: &str,
    random: &mut Random,
    steps: u64,
) -> anyhow::Result<()> {
    let all = pods(namespace);
    for _ in 0..steps {
        let name = format!("p{}", random.below(PODS));
        let one = format!("{all}/{name}");
        let answer = match random.below(10) {
            0..=4 => session.write("POST", &all, &pod(&name, &networks(random), None))?,
            5..=7 => session.delete(&format!("{one}?gracePeriodSeconds=0"))?,
            // Not bound yet, so its selection may still change.
            8 => session.write(
                "PATCH",
                &one,
                &json!({"metadata": {"annotations": {NETWORKS: networks(random)}}}),
            )?,
            _ => session.write(
                "PATCH",
                &format!("{one}/status"),
                &json!({"status": {"phase": "Succeeded"}}),
            )?,
        };
        must(&one, &answer)?;
    }
    Ok(())
}

pub(super) fn of_definitions(
    session: &mut Session,
    namespace: &str,
    random: &mut Random,
    steps: u64,
) -> anyhow::Result<()> {
    let all = definitions(namespace);
    for _ in 0..steps {
        let name = format!("n{}", random.below(DEFINITIONS));
        let one = format!("{all}/{name}");
        let object = definition(&name, 1280 + random.below(4));
        let answer = match random.below(10) {
            0..=4 => session.write("POST", &all, &object)?,
            5..=6 => session.delete(&one)?,
            7 => session.write(
                "PATCH",
                &one,
                &json!({"metadata": {"labels": {"turn": random.below(99).to_string()}}}),
            )?,
            8 => session.write("PATCH", &one, &json!({"spec": {"config": "{"}}))?,
            _ => session.write("PATCH", &one, &json!({"spec": object["spec"]}))?,
        };
        must(&one, &answer)?;
    }
    Ok(())
}

/// One to three names, now and then one of them twice or of a definition that never is.
fn networks(random: &mut Random) -> String {
    let count = 1 + random.below(3);
    let names: Vec<String> = (0..count).map(|_| format!("n{}", random.below(DEFINITIONS + 1))).collect();
    names.join(",")
}
