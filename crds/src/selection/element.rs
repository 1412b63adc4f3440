//! The long form: a JSON list of maps. Every key of the standard, typed. A key with a dot is somebody's own. Any other
//! unknown key has no effect (charts for 5G cores write `gateway`), and so has an empty value, as templates leave it behind:
//! both are oddities, with the key that was probably meant (COMPAT-1, COMPAT-2).

use std::str::FromStr;

use manifold_cni::RawObject;
use manifold_cni::json::{BadJson, is_key, strict};
use manifold_cni::name::printable;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::oddity::Oddity;
use super::values::{self, Bandwidth, PortMapping};
use super::{BadSelection, Limits, Place, Reading, Selection, too_many};
use crate::address;
use crate::nad::NadRef;
use crate::name::Namespace;
use manifold_cni::spelling::nearest;

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

pub(super) fn parse_list(text: &str, home: &Namespace, limits: Limits) -> Result<Reading, BadSelection> {
    strict(text.as_bytes()).map_err(not_json)?;
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| {
        BadSelection::whole(
            "it must be a JSON list of maps, like `[{\"name\": \"net-a\"}]`, or names joined by commas, like `net-a,net-b`",
        )
    })?;
    if items.len() > limits.networks {
        return Err(too_many(items.len(), limits));
    }
    let mut reading = Reading::default();
    for (n, raw) in items.into_iter().enumerate() {
        let mut element = Element::of(n + 1, raw)?;
        reading.selections.push(element.parse(home)?);
        reading.oddities.append(&mut element.oddities);
    }
    Ok(reading)
}

fn not_json(e: BadJson) -> BadSelection {
    BadSelection::whole(format!("it is not valid JSON: {e}"))
}

struct Element {
    number: usize,
    object: RawObject,
    network: Option<String>,
    oddities: Vec<Oddity>,
}

impl Element {
    fn of(number: usize, raw: &RawValue) -> Result<Self, BadSelection> {
        let object: RawObject = serde_json::from_str(raw.get()).map_err(|_| BadSelection {
            place: Place { element: Some(number), ..Place::default() },
            why: "it is not a map; write `{\"name\": \"net-a\"}`".to_owned(),
        })?;
        Ok(Self { number, object, network: None, oddities: Vec::new() })
    }

    fn parse(&mut self, home: &Namespace) -> Result<Selection, BadSelection> {
        self.network = self.text("name").ok().flatten();
        let mut selection = Selection::of(self.reference(home)?);
        self.network = Some(selection.network.to_string());
        self.note_unknown("", &self.object.clone(), &KEYS);
        selection.interface = self.parsed("interface")?;
        // Read in any case, so that a wrong value is refused and an empty one noted.
        let old = self.parsed("interfaceRequest")?;
        selection.interface = selection.interface.or(old);
        selection.ips = self.ips()?;
        selection.mac = self.parsed("mac")?;
        selection.infiniband_guid = self.parsed("infiniband-guid")?;
        selection.port_mappings = self.port_mappings()?;
        selection.bandwidth = self.bandwidth()?;
        selection.default_route = self.default_route()?;
        selection.cni_args = self.value("cni-args", "a map")?;
        selection.ipam_claim_reference = self.parsed("ipam-claim-reference")?;
        selection.device_id = self.parsed("deviceID")?;
        self.check_together(&selection)?;
        Ok(selection)
    }

    fn place(&self, key: &str) -> Place {
        Place { element: Some(self.number), network: self.network.clone(), key: Some(key.to_owned()) }
    }

    fn bad(&self, key: &str, why: impl Into<String>) -> BadSelection {
        BadSelection { place: self.place(key), why: why.into() }
    }

    fn note_empty(&mut self, key: &str) {
        self.oddities.push(Oddity::empty(self.place(key)));
    }

    /// Notes every key of `object` that nobody reads. Keys without a dot belong to the standard (NPWG-4.1.2.1-1). A known one
    /// may be in any case, as Multus reads it.
    fn note_unknown(&mut self, inside: &str, object: &RawObject, known: &[&str]) {
        let unknown = |key: &&str| !key.contains('.') && !known.iter().any(|name| is_key(key, name));
        for key in object.keys().filter(unknown) {
            let place = self.place(&format!("{inside}{key}"));
            self.oddities.push(Oddity::unknown(place, key, nearest(key, known.iter().copied())));
        }
    }

    fn reference(&self, home: &Namespace) -> Result<NadRef, BadSelection> {
        let name: String = self.text("name")?.ok_or_else(|| self.bad("name", self.no_name()))?;
        let name = name.parse().map_err(|e: crate::name::BadName| self.bad("name", e.to_string()))?;
        let namespace = match self.text("namespace")?.filter(|n| !n.is_empty()) {
            None => home.clone(),
            Some(raw) => {
                raw.parse().map_err(|e: crate::name::BadName| self.bad("namespace", e.to_string()))?
            }
        };
        Ok(NadRef { namespace, name })
    }

    fn no_name(&self) -> String {
        let slip = self.object.keys().find(|key| !KEYS.contains(key) && nearest(key, ["name"]).is_some());
        let hint =
            slip.map(|key| format!("; did you mean it instead of `{}`?", printable(key))).unwrap_or_default();
        format!("it is missing, and every element needs it{hint}")
    }

    /// The value under `key`; absent and `null` are both `None`.
    fn value<T: DeserializeOwned>(&self, key: &str, shape: &str) -> Result<Option<T>, BadSelection> {
        self.object.get_as(key).map_err(|_| {
            let raw = self.object.get(key).map_or("", RawValue::get);
            self.bad(key, format!("`{}` is not {shape}", printable(raw)))
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>, BadSelection> {
        self.value(key, "a string")
    }

    /// The text under `key` as a type; absent, `null` and empty are `None`.
    fn parsed<T>(&mut self, key: &str) -> Result<Option<T>, BadSelection>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let Some(raw) = self.text(key)? else { return Ok(None) };
        if raw.is_empty() {
            self.note_empty(key);
            return Ok(None);
        }
        raw.parse().map(Some).map_err(|e: T::Err| self.bad(key, e.to_string()))
    }

    fn ips(&mut self) -> Result<Vec<address::IpRequest>, BadSelection> {
        let Some(raw) = self.value::<Vec<String>>("ips", "a list of addresses")? else {
            return Ok(Vec::new());
        };
        if raw.is_empty() {
            self.note_empty("ips");
        }
        let mut out: Vec<address::IpRequest> = Vec::with_capacity(raw.len());
        for text in raw {
            let ip: address::IpRequest =
                text.parse().map_err(|e: address::BadAddress| self.bad("ips", e.to_string()))?;
            if out.iter().any(|other| other.address == ip.address) {
                return Err(self.bad("ips", format!("`{}` is listed twice", ip.address)));
            }
            out.push(ip);
        }
        Ok(out)
    }

    fn port_mappings(&mut self) -> Result<Vec<PortMapping>, BadSelection> {
        const KEY: &str = "portMappings";
        let Some(objects) = self.value::<Vec<RawObject>>(KEY, values::PORTS_SHAPE)? else {
            return Ok(Vec::new());
        };
        if objects.is_empty() {
            self.note_empty(KEY);
        }
        for (n, object) in objects.iter().enumerate() {
            self.note_unknown(&format!("{KEY}[{n}]."), object, values::PORT_KEYS);
        }
        let raw = self.value(KEY, values::PORTS_SHAPE)?.unwrap_or_default();
        values::port_mappings(raw).map_err(|why| self.bad(KEY, why))
    }

    fn bandwidth(&mut self) -> Result<Option<Bandwidth>, BadSelection> {
        const KEY: &str = "bandwidth";
        let Some(object) = self.value::<RawObject>(KEY, values::BANDWIDTH_SHAPE)? else { return Ok(None) };
        self.note_unknown(&format!("{KEY}."), &object, values::BANDWIDTH_KEYS);
        let Some(raw) = self.value(KEY, values::BANDWIDTH_SHAPE)? else { return Ok(None) };
        let limits = Bandwidth::check(&raw).map_err(|why| self.bad(KEY, why))?;
        if limits.is_none() {
            self.note_empty(KEY);
        }
        Ok(limits)
    }

    fn default_route(&self) -> Result<Option<Vec<std::net::IpAddr>>, BadSelection> {
        let raw = self.value::<Vec<String>>("default-route", "a list of gateway addresses")?;
        let gateways =
            |raw: Vec<String>| raw.iter().map(|r| address::gateway(r)).collect::<Result<Vec<_>, _>>();
        raw.map(gateways).transpose().map_err(|e| self.bad("default-route", e.to_string()))
    }

    fn check_together(&self, selection: &Selection) -> Result<(), BadSelection> {
        let gateways = selection.default_route.as_deref().unwrap_or_default();
        match gateways.iter().find(|g| selection.ips.iter().any(|ip| ip.address == **g)) {
            Some(own) => Err(self
                .bad("default-route", format!("`{own}` is also in `ips`; a pod cannot be its own gateway"))),
            None => Ok(()),
        }
    }
}
