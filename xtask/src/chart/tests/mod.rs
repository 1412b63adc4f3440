//! The chart, rendered by the real Helm of both generations, without a cluster and against a real API server.

mod containers;
mod options;
mod platforms;
mod refusals;
mod server;

use std::sync::OnceLock;

use manifold_e2e::helm::{Generation, Helm};
use serde_json::Value;

use super::{files, stale};

fn helm(generation: Generation) -> &'static Helm {
    static THREE: OnceLock<Helm> = OnceLock::new();
    static FOUR: OnceLock<Helm> = OnceLock::new();
    let place = match generation {
        Generation::Three => &THREE,
        Generation::Four => &FOUR,
    };
    place.get_or_init(|| Helm::ensure(generation, &mut |_| {}).unwrap())
}

/// What a release into `nets` applies with these values (`path=JSON`).
#[track_caller]
fn objects(values: &[&str]) -> Vec<Value> {
    let rendered = helm(Generation::Four).template("nets", values, &[]).unwrap();
    files::objects(&rendered.unwrap_or_else(|said| panic!("{values:?}: {said}"))).unwrap()
}

#[track_caller]
fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    find(objects, kind, name).unwrap_or_else(|| panic!("there is no {kind} `{name}`"))
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name)
}

/// The configuration file that a role gets.
#[track_caller]
fn configuration(objects: &[Value], role: &str) -> Value {
    let text = one(objects, "ConfigMap", role)["data"]["config.yaml"].as_str().unwrap().to_owned();
    serde_yaml::from_str(&text).unwrap()
}

/// What Helm tells who has installed it.
#[track_caller]
fn notes(values: &[&str]) -> String {
    let mut words = vec!["install", "manifold", "--namespace", "nets", "--dry-run=client"];
    values.iter().for_each(|value| words.extend(["--set-json", value]));
    let chart = manifold_e2e::helm::chart();
    let chart = chart.to_string_lossy();
    words.push(&chart);
    let out = helm(Generation::Four).run(&words).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    text.split_once("NOTES:").unwrap().1.to_owned()
}

#[test]
fn what_is_checked_in_is_what_the_chart_renders() {
    let stale = stale(helm(Generation::Four)).unwrap();
    let names: Vec<_> = stale.keys().collect();
    assert!(names.is_empty(), "run `cargo xtask manifests`: {names:?}");
}

#[test]
fn no_file_below_deploy_is_left_of_a_template_that_is_gone() {
    let rendered = files::rendered(helm(Generation::Four)).unwrap();
    for folder in
        ["deploy", "deploy/cluster", "deploy/node", "deploy/rbac", "deploy/policies", "deploy/options"]
    {
        for entry in std::fs::read_dir(crate::build::root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = std::path::Path::new(folder).join(path.file_name().unwrap());
            if path.extension().is_some_and(|e| e == "yaml") {
                assert!(rendered.contains_key(&name), "`{}` is rendered by no template", name.display());
            }
        }
    }
}

#[test]
fn helm_three_and_four_render_the_same() {
    let everything: &[&str] = &[
        "namespace.create=true",
        "node.podAnnotations=false",
        "dhcp.enabled=true",
        "podMonitor.enabled=true",
        "admission.clientAuthority=\"webhook-clients\"",
    ];
    for values in [&[][..], everything] {
        let render = |generation| {
            let text = helm(generation).template("nets", values, &[]).unwrap().unwrap();
            let mut all: Vec<String> = files::objects(&text).unwrap().iter().map(Value::to_string).collect();
            all.sort();
            all
        };
        assert_eq!(render(Generation::Three), render(Generation::Four));
    }
}

#[test]
fn both_generations_find_nothing_wrong_with_the_chart() {
    let chart = manifold_e2e::helm::chart();
    for generation in [Generation::Three, Generation::Four] {
        let out = helm(generation).run(&["lint", "--strict", &chart.to_string_lossy()]).unwrap();
        assert!(out.status.success(), "{generation:?}: {}", String::from_utf8_lossy(&out.stdout));
    }
}

/// Each template is one object, and its file is told from the others in `deploy/`.
#[test]
fn every_template_holds_one_object() {
    let rendered = helm(Generation::Four).template("nets", &["dhcp.enabled=true"], &[]).unwrap().unwrap();
    let parts = manifold_e2e::helm::parts(&rendered).unwrap();
    for (at, (source, text)) in parts.iter().enumerate() {
        assert!(files::is_known(source), "{source}");
        assert_eq!(text.matches("\napiVersion:").count() + usize::from(text.starts_with("apiVersion:")), 1);
        assert!(!parts[..at].iter().any(|(other, _)| other == source), "{source} holds two objects");
    }
}

/// `kubectl delete -l` of the plain manifests leaves the CRD alone, and with it everybody's definitions.
#[test]
fn every_object_but_the_crd_has_the_label_that_removal_goes_by() {
    let everything = ["namespace.create=true", "dhcp.enabled=true", "podMonitor.enabled=true"];
    for object in objects(&everything) {
        let is_ours = object["metadata"]["labels"]["app.kubernetes.io/part-of"] == "manifold";
        assert_eq!(is_ours, object["kind"] != "CustomResourceDefinition", "{object}");
    }
}
