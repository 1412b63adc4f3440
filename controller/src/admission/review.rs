//! The API server's question and our answer: `AdmissionReview` of `admission.k8s.io/v1`, as far as it is read here.
//!
//! The objects stay the text they were until somebody needs a part of them: a pod of a megabyte is not taken apart for
//! two annotations.

use manifold_cni::name::{one_line, printable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What the API server wants to know.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    pub(super) uid: String,
    pub(super) operation: Operation,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) user_info: User,
    /// Absent on DELETE.
    #[serde(default)]
    pub(super) object: Option<Box<RawValue>>,
    /// On UPDATE and DELETE.
    #[serde(default)]
    pub(super) old_object: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct User {
    #[serde(default)]
    pub(super) username: String,
}

/// A body that holds no question.
#[derive(Debug, thiserror::Error)]
#[error("the body is not a `{KIND}` of `{API_VERSION}`: {0}")]
pub(super) struct NoReview(String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    api_version: String,
    kind: String,
    request: Question,
}

impl Question {
    pub(super) fn read(body: &[u8]) -> Result<Self, NoReview> {
        let asked: Asked = serde_json::from_slice(body).map_err(|e| NoReview(one_line(&e.to_string())))?;
        if asked.api_version != API_VERSION || asked.kind != KIND {
            let (kind, version) = (printable(&asked.kind), printable(&asked.api_version));
            return Err(NoReview(format!("it is `{kind}` of `{version}`")));
        }
        Ok(asked.request)
    }

    /// The object after the request, as far as `T` looks at it; `None` where there is none.
    pub(super) fn object<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        part(self.object.as_deref())
    }

    /// The object before the request.
    pub(super) fn old_object<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        part(self.old_object.as_deref())
    }
}

fn part<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<Option<T>, serde_json::Error> {
    raw.map(|raw| serde_json::from_str::<Option<T>>(raw.get())).transpose().map(Option::flatten)
}

/// What comes of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The sentence, where the request is refused.
    pub(super) refusal: Option<String>,
    /// Shown to whoever asked, refused or not.
    pub(super) warnings: Vec<String>,
}

impl Verdict {
    pub(super) fn allow() -> Self {
        Self::default()
    }

    pub(super) fn warn(warnings: Vec<String>) -> Self {
        Self { refusal: None, warnings }
    }

    pub(super) fn refuse(sentence: impl Into<String>) -> Self {
        Self { refusal: Some(sentence.into()), warnings: Vec::new() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

/// The bytes to answer with. Refusals are 403, as those of policies are.
pub(super) fn answer(uid: &str, verdict: &Verdict) -> Vec<u8> {
    let status = verdict.refusal.as_deref().map(|message| Status { code: 403, reason: "Forbidden", message });
    let response = Response { uid, allowed: verdict.refusal.is_none(), status, warnings: &verdict.warnings };
    serde_json::to_vec(&Answered { api_version: API_VERSION, kind: KIND, response })
        .expect("words and numbers are JSON")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn body(request: &Value) -> Vec<u8> {
        json!({"apiVersion": API_VERSION, "kind": KIND, "request": request}).to_string().into_bytes()
    }

    #[test]
    fn a_question_is_read_with_what_it_has() {
        let question = Question::read(&body(&json!({
            "uid": "u", "operation": "DELETE", "name": "a", "namespace": "shop", "object": null,
            "userInfo": {"username": "jane"}, "oldObject": {"x": 1}, "dryRun": true,
        })))
        .unwrap();
        assert_eq!((question.operation, question.user_info.username.as_str()), (Operation::Delete, "jane"));
        assert_eq!(question.object::<Value>().unwrap(), None);
        assert_eq!(question.old_object::<Value>().unwrap(), Some(json!({"x": 1})));
    }

    #[test]
    fn another_object_is_no_review() {
        for other in [
            json!({}),
            json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": KIND, "request": {"uid": "u", "operation": "CREATE"}}),
            json!({"apiVersion": API_VERSION, "kind": KIND}),
            json!({"apiVersion": API_VERSION, "kind": KIND, "request": {"uid": "u", "operation": "EAT"}}),
        ] {
            assert!(Question::read(other.to_string().as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn an_answer_carries_the_uid_and_the_sentence() {
        let answered = |verdict| serde_json::from_slice::<Value>(&answer("u-1", &verdict)).unwrap();
        assert_eq!(answered(Verdict::allow())["response"], json!({"uid": "u-1", "allowed": true}));
        let refused = answered(Verdict::refuse("no \"way\""));
        assert_eq!(refused["response"]["allowed"], false);
        assert_eq!(refused["response"]["status"]["message"], "no \"way\"");
        assert_eq!(answered(Verdict::warn(vec!["w".into()]))["response"]["warnings"], json!(["w"]));
    }

    proptest! {
        // Proves: S-8
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256), text in ".{0,200}") {
            let _ = Question::read(&bytes);
            let _ = Question::read(text.as_bytes());
        }
    }
}
