//! Bodies that somebody sends to the admission webhook.

#![expect(
    clippy::indexing_slicing,
    reason = "a key that is missing is null in JSON, and a reader of tests may panic"
)]

use manifold_controller::admission::{Subject, offline};
use manifold_controller::config::Config;
use manifold_crds::Nad;
use manifold_plan::Definitions;
use serde_json::Value;

use super::{policy, reference, text};
use crate::Answer;

/// Sent to `/definitions`.
pub(super) fn definition(input: &[u8]) -> Answer {
    // The webhook that warns about workloads reads the same bodies.
    if let Some(answer) = answered(Subject::Workload, input) {
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
    }
    review(Subject::Definition, input)
}

/// Sent to `/pods`. `shop/left` is there.
pub(super) fn pod(input: &[u8]) -> Answer {
    review(Subject::Pod, input)
}

fn review(subject: Subject, input: &[u8]) -> Answer {
    let Some(answer) = answered(subject, input) else {
        let why = reviewed(subject, input).expect_err("there is no answer");
        return Answer::refused(why);
    };
    let response = &answer["response"];
    let warnings: String =
        response["warnings"].as_array().into_iter().flatten().map(|w| format!("\nwarning: {w}")).collect();
    match response["status"]["message"].as_str() {
        Some(sentence) => {
            assert_eq!((&response["allowed"], &response["status"]["code"]), (&false.into(), &403.into()));
            Answer::Refused { code: Some(403), sentence: sentence.to_owned() }
        }
        None => {
            assert_eq!(response["allowed"], true, "{answer}");
            Answer::Accepted(format!("allowed{warnings}"))
        }
    }
}

/// The answer is a review with the question's UID.
fn answered(subject: Subject, input: &[u8]) -> Option<Value> {
    let bytes = reviewed(subject, input).ok()?;
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}: {}", text(&bytes)));
    let asked: Value = serde_json::from_slice(input).unwrap_or_default();
    if let Some(uid) = asked["request"]["uid"].as_str() {
        assert_eq!(answer["response"]["uid"], uid);
    }
    Some(answer)
}

fn reviewed(subject: Subject, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut found = Definitions::default();
    for (nad, kind) in [("left", "fake"), ("right", "bridge")] {
        let config = format!(r#"{{"cniVersion":"1.0.0","type":"{kind}"}}"#);
        found.nads.insert(reference(nad), Nad::new(reference(nad), Some(&config)));
    }
    offline::review(subject, input, &Config::default(), &policy(), &found)
}
