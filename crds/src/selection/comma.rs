//! The short form: `[namespace/]name[@interface]`, joined by commas. The interface part is not in the standard, but
//! everybody writes it (NPWG-X-2). Blanks around names, an empty namespace before `/` and an empty interface behind `@`
//! come out of templates; Multus passes over them.

use super::{BadSelection, Limits, Oddity, Place, Reading, Selection, too_many};
use crate::nad::NadRef;
use crate::name::{BadName, Namespace};

pub(super) fn parse_list(text: &str, home: &Namespace, limits: Limits) -> Result<Reading, BadSelection> {
    let count = text.split(',').count();
    if count > limits.networks {
        return Err(too_many(count, limits));
    }
    let mut reading = Reading::default();
    for (n, raw) in text.split(',').enumerate() {
        let raw = raw.trim();
        let place = |key: Option<&str>| Place {
            element: Some(n + 1),
            network: Some(raw.to_owned()).filter(|r| !r.is_empty()),
            key: key.map(str::to_owned),
        };
        let parts = Parts::of(raw).map_err(|(key, why)| BadSelection { place: place(key), why })?;
        let selection =
            parts.selection(home).map_err(|(key, why)| BadSelection { place: place(key), why })?;
        reading.selections.push(selection);
        reading.oddities.extend(parts.empty().map(|key| Oddity::empty(place(Some(key)))));
    }
    Ok(reading)
}

type Problem = (Option<&'static str>, String);

/// What stands before `/`, between `/` and `@`, and behind `@`.
struct Parts<'a> {
    namespace: Option<&'a str>,
    name: &'a str,
    interface: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(raw: &'a str) -> Result<Self, Problem> {
        if raw.is_empty() {
            return Err((None, "it is empty; remove the extra comma".to_owned()));
        }
        if raw.matches('@').count() > 1 {
            return Err((
                Some("interface"),
                "it has more than one `@`; write `network@interface`".to_owned(),
            ));
        }
        let (network, interface) = match raw.split_once('@') {
            None => (raw, None),
            Some((network, interface)) => (network, Some(interface.trim())),
        };
        let (namespace, name) = match network.split_once('/') {
            None => (None, network.trim()),
            Some((namespace, name)) => (Some(namespace.trim()), name.trim()),
        };
        Ok(Self { namespace, name, interface })
    }

    fn selection(&self, home: &Namespace) -> Result<Selection, Problem> {
        let bad_network = |e: BadName| (None, e.to_string());
        let namespace = match self.namespace.filter(|n| !n.is_empty()) {
            None => home.clone(),
            Some(raw) => raw.parse().map_err(bad_network)?,
        };
        let name = self.name.parse().map_err(bad_network)?;
        let mut selection = Selection::of(NadRef { namespace, name });
        if let Some(raw) = self.interface.filter(|i| !i.is_empty()) {
            selection.interface = Some(raw.parse().map_err(|e: BadName| (Some("interface"), e.to_string()))?);
        }
        Ok(selection)
    }

    /// The parts that are there and say nothing.
    fn empty(&self) -> impl Iterator<Item = &'static str> {
        [("namespace", self.namespace), ("interface", self.interface)]
            .into_iter()
            .filter(|(_, part)| *part == Some(""))
            .map(|(key, _)| key)
    }
}
