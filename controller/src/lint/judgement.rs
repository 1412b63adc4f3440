//! What is wrong with the objects of the files: definitions by the rules of the webhook and the nodes, pods against the
//! definitions of the same files.

use std::collections::BTreeSet;

use manifold_cni::name::printable;
use manifold_cni::spelling::nearest;
use manifold_crds::{Nad, NadRef, keys};
use manifold_plan::annotation::{self, Slip};
use manifold_plan::check_config::{self, Finding, Severity};
use manifold_plan::judge::{self, Judged, Refused};
use manifold_plan::{Definitions, Pod, Policy, Refusal};
use serde_json::Value;

use super::documents::{Content, DEFINITION, Object, split};
use super::gather::Text;
use super::pods::{self, Asked};
use super::position::{Finder, Position};
use super::report::{Complaint, ObjectName, Report};
use crate::workload;

/// Everything to be said about these texts, in their order.
pub(super) fn judge(texts: &[Text], policy: &Policy) -> Report {
    let mut judge =
        Judge { policy, found: Definitions::default(), invalid: BTreeSet::new(), report: Report::default() };
    let mut waiting = Vec::new();
    for text in texts {
        judge.report.files += 1;
        for document in split(&text.text) {
            let mut finder = Finder::new(&document);
            match document.read() {
                Content::Broken { why, line, column } => judge.broken(&text.file, &why, (line, column)),
                Content::Objects { known, others } => {
                    judge.report.others += others;
                    for object in known {
                        if object.kind == DEFINITION {
                            judge.definition(&text.file, &object, &mut finder);
                        } else {
                            judge.slips(&text.file, &object, &mut finder);
                            // Definitions may stand behind the pods that use them.
                            waiting.extend(AskingPod::of(&text.file, &object, &mut finder));
                            judge.report.pods += 1;
                        }
                    }
                }
            }
        }
    }
    waiting.iter().for_each(|pod| judge.pod(pod));
    judge.report.sort(texts);
    judge.report
}

struct Judge<'a> {
    policy: &'a Policy,
    found: Definitions,
    invalid: BTreeSet<NadRef>,
    report: Report,
}

/// A pod, or what makes pods, that asks for networks.
struct AskingPod {
    file: String,
    object: ObjectName,
    asked: Asked,
    position: Position,
}

impl AskingPod {
    fn of(file: &str, object: &Object, finder: &mut Finder<'_>) -> Option<Self> {
        let asked = pods::asked(&object.kind, &object.value)?;
        let key = if asked.networks.is_some() { keys::NETWORKS } else { keys::DEFAULT_NETWORK };
        Some(Self { file: file.to_owned(), object: name_of(object), asked, position: finder.key(key) })
    }
}

fn name_of(object: &Object) -> ObjectName {
    ObjectName {
        kind: object.kind.clone(),
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
    }
}

impl Judge<'_> {
    fn broken(&mut self, file: &str, why: &str, at: Position) {
        let sentence = format!("the document is not YAML: {why}");
        let fix = "correct the line, or remove templates from the folder".to_owned();
        self.report.findings.push(Complaint::new(Severity::Error, file, at, None, sentence, fix));
    }

    /// What keeps the annotations of pods from being read at all.
    fn slips(&mut self, file: &str, object: &Object, finder: &mut Finder<'_>) {
        let of_pods = workload::pod_metadata(&object.kind, &object.value).map(annotation::of_pod_metadata);
        let beside = workload::beside(&object.kind, &object.value);
        for Slip { key, severity, refusal } in of_pods.into_iter().flatten().chain(beside) {
            let at = finder.key(&key);
            let complaint =
                Complaint::new(severity, file, at, Some(name_of(object)), refusal.what, refusal.fix);
            self.report.findings.push(complaint);
        }
    }

    /// Keys beside `config`. The API server drops them, so a misspelt one leaves a definition without a configuration.
    fn dropped_keys(&mut self, file: &str, object: &Object, finder: &mut Finder<'_>) -> bool {
        let mut lost = false;
        let spec = object.value.get("spec").and_then(Value::as_object);
        let has_config = spec.is_some_and(|spec| spec.contains_key("config"));
        for (key, value) in spec.into_iter().flatten().filter(|(key, _)| *key != "config") {
            let like_one =
                value.is_object() || value.as_str().is_some_and(|t| t.trim_start().starts_with('{'));
            let misspelt = !has_config && (like_one || nearest(key, ["config"]).is_some());
            let shown = printable(key);
            let (severity, fix) = match misspelt {
                true => (Severity::Error, format!("write `config` where `{shown}` is")),
                false => (Severity::Warning, "remove it".to_owned()),
            };
            let effect = if misspelt { ", so the definition has no configuration" } else { "" };
            let what = format!("`spec` has no key `{shown}`, and the API server drops it{effect}");
            let complaint = Complaint::new(severity, file, finder.key(key), Some(name_of(object)), what, fix);
            self.report.findings.push(complaint);
            lost |= misspelt;
        }
        lost
    }

    fn definition(&mut self, file: &str, object: &Object, finder: &mut Finder<'_>) {
        self.report.definitions += 1;
        let name = name_of(object);
        let nad = match read(&object.value) {
            Ok(nad) => nad,
            Err((key, sentence, fix)) => {
                let at = match key {
                    Some(key) => finder.key(key),
                    None => finder.object(object.name()),
                };
                let complaint = Complaint::new(Severity::Error, file, at, Some(name), sentence, fix);
                return self.report.findings.push(complaint);
            }
        };
        let report = check_config::examine(&nad, self.policy);
        if self.dropped_keys(file, object, finder) || !report.is_valid() {
            self.invalid.insert(nad.reference.clone());
        }
        let (key, scalar) = match &nad.config {
            Some(config) => finder.config(config),
            None => (finder.object(object.name()), None),
        };
        for finding in report.findings {
            let in_file = scalar.as_ref().zip(finding.line.zip(finding.column));
            let at = match in_file.and_then(|(scalar, (line, column))| scalar.place(line, column)) {
                Some(at) => at,
                None if finding.line.is_some() => key,
                None => finder.key(annotation_of(&finding)),
            };
            self.report.findings.push(Complaint::of_finding(file, at, &name, finding));
        }
        if let Some(twin) = self.found.nads.insert(nad.reference.clone(), nad) {
            let sentence = format!("duplicate definition `{}` in these files", twin.reference);
            let fix = "keep one of the two, or rename one".to_owned();
            self.report.findings.push(Complaint::new(
                Severity::Warning,
                file,
                key,
                Some(name),
                sentence,
                fix,
            ));
        }
    }

    fn pod(&mut self, asking: &AskingPod) {
        let Asked { networks, default_network } = &asking.asked;
        let ObjectName { namespace, name, .. } = &asking.object;
        // A pod of a template, or of `generateName`, gets its name from the API server.
        let name = name.trim_end_matches('-');
        let name = if name.is_empty() { "pod" } else { name };
        let pod = match Pod::new(namespace, name, None) {
            Ok(pod) => pod.with_annotations(networks.as_deref(), default_network.as_deref()),
            Err(e) => {
                return self.told(
                    asking,
                    Severity::Error,
                    &Refusal::new(format!("`metadata`: {e}"), "correct the name"),
                );
            }
        };
        match judge::judge(&pod, self.policy, &self.found) {
            // The definition itself has been told of.
            Err(Refused { decided_by: Some(nad), .. }) if self.invalid.contains(&nad) => {}
            Err(Refused { refusal, .. }) => self.told(asking, Severity::Error, &refusal),
            Ok(Judged { missing, dropped, odd }) => {
                odd.iter().for_each(|odd| self.told(asking, Severity::Warning, odd));
                for (reference, refusal) in missing {
                    let what = format!("network `{reference}` is defined in none of these files");
                    self.told(asking, Severity::Warning, &Refusal { what, ..refusal });
                }
                for what in dropped {
                    self.told(
                        asking,
                        Severity::Warning,
                        &Refusal::new(what, "declare the capability, or drop the request"),
                    );
                }
            }
        }
    }

    fn told(&mut self, asking: &AskingPod, severity: Severity, refusal: &Refusal) {
        let (what, fix) = (refusal.what.clone(), refusal.fix.clone());
        let complaint =
            Complaint::new(severity, &asking.file, asking.position, Some(asking.object.clone()), what, fix);
        self.report.findings.push(complaint);
    }
}

/// The definition, or the key that is wrong, if it is one, with a sentence and a remedy.
fn read(value: &Value) -> Result<Nad, (Option<&'static str>, String, String)> {
    let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version.is_empty() {
        let fix = format!("write `apiVersion: {}`", keys::API_VERSION);
        return Err((Some("kind"), "the definition has no `apiVersion`".to_owned(), fix));
    }
    serde_json::from_value(value.clone()).map_err(|e| {
        let whole = manifold_cni::name::one_line(&e.to_string());
        let (sentence, fix) = match whole.split_once(": write ") {
            Some((sentence, fix)) => (sentence.to_owned(), format!("write {fix}")),
            None => (format!("the definition is not valid: {whole}"), "correct the object".to_owned()),
        };
        let key = whole.contains("`spec.config`").then_some("config");
        (key, sentence, fix)
    })
}

/// The annotation that a finding is about.
fn annotation_of(finding: &Finding) -> &str {
    let key = finding.field.strip_prefix("metadata.annotations[").and_then(|k| k.strip_suffix(']'));
    key.unwrap_or("config")
}
