//! The short form: `[namespace/]name[@interface]`, joined by commas. The interface part is not in the standard, but
//! everybody writes it (NPWG-X-2).

use super::{BadSelection, Limits, Place, Selection, too_many};
use crate::nad::NadRef;
use crate::name::Namespace;

pub(super) fn parse_list(
    text: &str,
    home: &Namespace,
    limits: Limits,
) -> Result<Vec<Selection>, BadSelection> {
    let count = text.split(',').count();
    if count > limits.networks {
        return Err(too_many(count, limits));
    }
    let item = |(n, raw): (usize, &str)| {
        let raw = raw.trim();
        parse_item(raw, home).map_err(|(key, why)| BadSelection {
            place: Place {
                element: Some(n + 1),
                network: Some(raw.to_owned()).filter(|r| !r.is_empty()),
                key: key.map(str::to_owned),
            },
            why,
        })
    };
    text.split(',').enumerate().map(item).collect()
}

type Problem = (Option<&'static str>, String);

fn parse_item(raw: &str, home: &Namespace) -> Result<Selection, Problem> {
    if raw.is_empty() {
        return Err((None, "it is empty; remove the comma too many".to_owned()));
    }
    if raw.matches('@').count() > 1 {
        return Err((Some("interface"), "it has more than one `@`; write `network@interface`".to_owned()));
    }
    let (network, interface) = match raw.split_once('@') {
        None => (raw, None),
        Some((network, interface)) => (network, Some(interface)),
    };
    let mut selection = Selection::of(NadRef::parse(network, home).map_err(|e| (None, e.to_string()))?);
    if let Some(interface) = interface {
        selection.interface =
            Some(interface.parse().map_err(|e: crate::name::BadName| (Some("interface"), e.to_string()))?);
    }
    Ok(selection)
}
