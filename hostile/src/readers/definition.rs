//! NetworkAttachmentDefinitions: the object, and the configuration in it.

use manifold_cni::{CniArgs, NetworkList, RawObject, Version};
use manifold_crds::{Nad, nad_status::NadStatus};
use manifold_plan::check_config::{self, Report, Severity};
use manifold_plugin_conf::{BondConf, BridgeConf, HostLocalConf, MacvlanConf, PtpConf, SbrConf, StaticConf};

use super::{policy, reference, text};
use crate::Answer;

/// The object as the API server or a file has it.
pub(super) fn object(input: &[u8]) -> Answer {
    // Somebody else may have written the status.
    let _ = serde_json::from_slice::<NadStatus>(input);
    let nad = match Nad::from_json(input) {
        Ok(nad) => nad,
        Err(why) => return Answer::refused(manifold_cni::json::BadJson::from(why)),
    };
    let printed = serde_json::to_vec(&nad).expect("a definition is JSON");
    assert_eq!(Nad::from_json(&printed).ok().as_ref(), Some(&nad), "{}", text(&printed));
    judged(&nad)
}

/// `spec.config`.
pub(super) fn config(input: &[u8]) -> Answer {
    let text = text(input);
    if let Ok(list) = NetworkList::parse(input) {
        comes_back(&list);
        list.plugins.iter().for_each(|plugin| read_leniently(&plugin.raw));
    }
    judged(&Nad::new(reference("left"), Some(&text)))
}

/// What `kubectl apply` is answered.
fn judged(nad: &Nad) -> Answer {
    let report = check_config::examine(nad, &policy());
    assert_placed(&report, nad);
    match check_config::check(nad, &policy()) {
        Err(refusal) => {
            assert!(!report.is_valid() && !refusal.fix.is_empty(), "{refusal:?}");
            refusal.into()
        }
        Ok(checked) => {
            assert!(report.is_valid(), "{report:?}");
            let list = checked.list.map_or_else(
                || "a configuration on the node".to_owned(),
                |list| text(&list.to_json()).into_owned(),
            );
            let notes: String = checked.notes.iter().map(|note| format!("\nnote: {note}")).collect();
            Answer::Accepted(list + &notes)
        }
    }
}

/// Every error in the configuration has a place that is in the text, and a fix.
fn assert_placed(report: &Report, nad: &Nad) {
    let lines = nad.config.as_deref().unwrap_or_default().split('\n').count();
    for finding in &report.findings {
        assert!(!finding.fix.is_empty() && !finding.sentence.is_empty(), "{finding:?}");
        assert!(finding.line.is_none_or(|line| (1..=lines).contains(&line)), "{finding:?}");
        let is_placed = finding.line.is_some() || finding.field != "spec.config";
        let is_too_large = finding.sentence.contains(" bytes, and ");
        assert!(is_placed || is_too_large || finding.severity == Severity::Warning, "{finding:?}");
    }
}

fn comes_back(list: &NetworkList) {
    let printed = list.to_json();
    let again = match NetworkList::parse(&printed) {
        // A plugin that becomes a list lies two levels deeper; nothing reads that list again.
        Err(bad) if bad.why.starts_with("nested deeper") => return,
        again => again.unwrap_or_else(|bad| panic!("{bad}: {}", text(&printed))),
    };
    assert_eq!(again.to_json(), printed);
    assert_eq!(
        (&again.name, again.version, again.plugins.len()),
        (&list.name, list.version, list.plugins.len())
    );
}

/// How DEL reads what ADD may never have accepted.
fn read_leniently(config: &RawObject) {
    let _ = (BridgeConf::read_leniently(config), MacvlanConf::read_leniently(config));
    let _ = (PtpConf::read_leniently(config), SbrConf::read_leniently(config));
    let _ = (BondConf::members_leniently(config), HostLocalConf::data_dir(config));
    let args = CniArgs::parse("IP=10.0.0.9/24;GATEWAY=10.0.0.1");
    for version in Version::ALL {
        let _ = HostLocalConf::read(config, &args, version);
        let _ = StaticConf::read(config, &args, version);
    }
}
