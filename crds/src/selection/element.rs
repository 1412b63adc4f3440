//! The long form: a JSON list of maps. Every key of the standard, typed; a key with a dot is somebody's own and is let
//! through; any other unknown key is a slip of the pen and is refused, with the key that was probably meant.

use std::str::FromStr;

use manifold_cni::RawObject;
use manifold_cni::json::{BadJson, is_key, strict};
use manifold_cni::name::printable;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::values::{self, Bandwidth};
use super::{BadSelection, Limits, Place, Selection, too_many};
use crate::address;
use crate::nad::NadRef;
use crate::name::Namespace;

pub(super) const KEYS: [&str; 13] = [
    "name",
    "namespace",
    "interface",
    "interfaceRequest",
    "ips",
    "mac",
    "infiniband-guid",
    "portMappings",
    "bandwidth",
    "default-route",
    "cni-args",
    "ipam-claim-reference",
    "deviceID",
];

pub(super) fn parse_list(
    text: &str,
    home: &Namespace,
    limits: Limits,
) -> Result<Vec<Selection>, BadSelection> {
    strict(text.as_bytes()).map_err(not_json)?;
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| {
        BadSelection::whole(
            "it must be a JSON list of maps, like `[{\"name\": \"net-a\"}]`, or names joined by commas, like `net-a,net-b`",
        )
    })?;
    if items.len() > limits.networks {
        return Err(too_many(items.len(), limits));
    }
    items.iter().enumerate().map(|(n, raw)| parse_element(n + 1, raw, home)).collect()
}

fn not_json(e: BadJson) -> BadSelection {
    BadSelection::whole(format!("it is not valid JSON: {e}"))
}

fn parse_element(number: usize, raw: &RawValue, home: &Namespace) -> Result<Selection, BadSelection> {
    let object: RawObject = serde_json::from_str(raw.get()).map_err(|_| BadSelection {
        place: Place { element: Some(number), ..Place::default() },
        why: "it is not a map; write `{\"name\": \"net-a\"}`".to_owned(),
    })?;
    let element = Element { number, object, network: None };
    element.parse(home)
}

struct Element {
    number: usize,
    object: RawObject,
    network: Option<String>,
}

impl Element {
    fn parse(mut self, home: &Namespace) -> Result<Selection, BadSelection> {
        self.network = self.text("name").ok().flatten();
        self.known_keys()?;
        let mut selection = Selection::of(self.reference(home)?);
        self.network = Some(selection.network.to_string());
        selection.interface = match self.parsed("interface")? {
            Some(name) => Some(name),
            None => self.parsed("interfaceRequest")?,
        };
        selection.ips = self.ips()?;
        selection.mac = self.parsed("mac")?;
        selection.infiniband_guid = self.parsed("infiniband-guid")?;
        selection.port_mappings =
            match self.value::<Vec<values::RawPortMapping>>("portMappings", values::PORTS_SHAPE)? {
                None => Vec::new(),
                Some(raw) => values::port_mappings(raw).map_err(|why| self.bad("portMappings", why))?,
            };
        selection.bandwidth = match self.value("bandwidth", values::BANDWIDTH_SHAPE)? {
            None => None,
            Some(raw) => Some(Bandwidth::check(&raw).map_err(|why| self.bad("bandwidth", why))?),
        };
        selection.default_route = self.default_route()?;
        selection.cni_args = self.value("cni-args", "a map")?;
        selection.ipam_claim_reference = self.parsed("ipam-claim-reference")?;
        selection.device_id = self.parsed("deviceID")?;
        self.check_together(&selection)?;
        Ok(selection)
    }

    fn bad(&self, key: &str, why: impl Into<String>) -> BadSelection {
        BadSelection {
            place: Place {
                element: Some(self.number),
                network: self.network.clone(),
                key: Some(key.to_owned()),
            },
            why: why.into(),
        }
    }

    /// Keys without a dot belong to the standard, so an unknown one can only be a mistake (NPWG-4.1.2.1.1-1). A known one
    /// may be in any case, as Multus reads it.
    fn known_keys(&self) -> Result<(), BadSelection> {
        let odd = self.object.keys().find(|k| !k.contains('.') && !KEYS.iter().any(|name| is_key(k, name)));
        odd.map_or(Ok(()), |key| {
            let hint = nearest(key).map_or_else(
                || "a private key has a dot in it, like `example.com/key`".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            Err(self.bad(key, format!("no such key; {hint}")))
        })
    }

    fn reference(&self, home: &Namespace) -> Result<NadRef, BadSelection> {
        let name: String = self
            .text("name")?
            .ok_or_else(|| self.bad("name", "it is missing, and every element needs it"))?;
        let name = name.parse().map_err(|e: crate::name::BadName| self.bad("name", e.to_string()))?;
        let namespace = match self.text("namespace")?.filter(|n| !n.is_empty()) {
            None => home.clone(),
            Some(raw) => {
                raw.parse().map_err(|e: crate::name::BadName| self.bad("namespace", e.to_string()))?
            }
        };
        Ok(NadRef { namespace, name })
    }

    /// The value under `key`; absent and `null` are both `None`.
    fn value<T: DeserializeOwned>(&self, key: &str, shape: &str) -> Result<Option<T>, BadSelection> {
        self.object.get_as(key).map_err(|e| {
            let raw = self.object.get(key).map_or("", RawValue::get);
            // A type that says which of its inner keys is wrong is worth hearing; a bare "invalid type" is not.
            let why = BadJson::from(e).why;
            let inner = if why.contains("field") { format!(" ({why})") } else { String::new() };
            self.bad(key, format!("`{}` is not {shape}{inner}", printable(raw)))
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>, BadSelection> {
        self.value(key, "a string")
    }

    fn parsed<T>(&self, key: &str) -> Result<Option<T>, BadSelection>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(raw) = self.text(key)? else { return Ok(None) };
        raw.parse().map(Some).map_err(|e: T::Err| self.bad(key, e.to_string()))
    }

    fn ips(&self) -> Result<Vec<address::IpRequest>, BadSelection> {
        let Some(raw) = self.value::<Vec<String>>("ips", "a list of addresses")? else {
            return Ok(Vec::new());
        };
        if raw.is_empty() {
            return Err(self.bad("ips", "it is an empty list; name an address, or leave the key out"));
        }
        let mut out: Vec<address::IpRequest> = Vec::with_capacity(raw.len());
        for text in raw {
            let ip: address::IpRequest =
                text.parse().map_err(|e: address::BadAddress| self.bad("ips", e.to_string()))?;
            if out.iter().any(|other| other.address == ip.address) {
                return Err(self.bad("ips", format!("`{}` stands there twice", ip.address)));
            }
            out.push(ip);
        }
        Ok(out)
    }

    fn default_route(&self) -> Result<Option<Vec<std::net::IpAddr>>, BadSelection> {
        let raw = self.value::<Vec<String>>("default-route", "a list of gateway addresses")?;
        let gateways =
            |raw: Vec<String>| raw.iter().map(|r| address::gateway(r)).collect::<Result<Vec<_>, _>>();
        raw.map(gateways).transpose().map_err(|e| self.bad("default-route", e.to_string()))
    }

    fn check_together(&self, selection: &Selection) -> Result<(), BadSelection> {
        if !selection.ips.is_empty() && selection.ipam_claim_reference.is_some() {
            let why = "`ips` stands beside it, and only one of the two can say which addresses to take";
            return Err(self.bad("ipam-claim-reference", why));
        }
        let gateways = selection.default_route.as_deref().unwrap_or_default();
        match gateways.iter().find(|g| selection.ips.iter().any(|ip| ip.address == **g)) {
            Some(own) => Err(self
                .bad("default-route", format!("`{own}` is also in `ips`; a pod cannot be its own gateway"))),
            None => Ok(()),
        }
    }
}

/// The known key that `key` was probably meant to be.
fn nearest(key: &str) -> Option<&'static str> {
    let plain = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted: Vec<char> = plain(key).chars().take(40).collect();
    let scored =
        KEYS.iter().map(|known| (distance(&wanted, &plain(known).chars().collect::<Vec<_>>()), *known));
    scored.min().filter(|(far, known)| *far <= 2 && *far * 2 < known.len()).map(|(_, known)| known)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, x) in a.iter().enumerate() {
        let mut diagonal = n;
        let mut left = n + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
