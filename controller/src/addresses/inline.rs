//! Pools of definitions: which pools a definition uses, and one AddressPool for each of its own ranges (IPAM-27).

use std::collections::BTreeMap;

use kube::core::DynamicObject;
use manifold_cni::NetworkList;
use manifold_crds::NadRef;
use manifold_crds::ipam::{PoolName, PoolSpec};
use manifold_plugin_conf::cluster_local::{AddressSource, ClusterLocalConf, TYPE, inline_pool_name};
use manifold_plugin_conf::ipam;
use serde_json::json;
use serde_json::value::RawValue;

use super::mirror::Kept;
use super::read::{OF_DEFINITION, PoolObject};
use super::resource;
use crate::objects::unreadable;
use crate::objects::{Definition, Malformed};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "manifold";

/// What is kept of a definition.
#[derive(Clone, Debug)]
pub(super) struct DefinitionFacts {
    pub(super) reference: NadRef,
    uid: String,
    version: String,
    /// The pools that it names.
    pub(super) named: Vec<PoolName>,
    /// Its own, in order.
    pub(super) own: Vec<(PoolName, PoolSpec)>,
}

impl Kept for DefinitionFacts {
    type Key = NadRef;

    fn key(&self) -> NadRef {
        self.reference.clone()
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn version(&self) -> &str {
        &self.version
    }
}

impl DefinitionFacts {
    /// The names of all pools that it uses.
    pub(super) fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.named.iter().chain(self.own.iter().map(|(name, _)| name))
    }
}

/// A configuration that cannot be read uses no pool: whoever looks after definitions tells why.
pub(super) fn definition(raw: &RawValue) -> Result<DefinitionFacts, Malformed> {
    let object: DynamicObject = serde_json::from_str(raw.get()).map_err(|e| unreadable(raw, &e))?;
    let definition = Definition::read(&object)?;
    let reference = definition.reference().clone();
    let conf = definition.nad.config.as_deref().map(read).unwrap_or_default();
    let (mut named, mut own) = (Vec::new(), Vec::new());
    for one in &conf {
        named.extend(one.sources.iter().filter_map(|source| match source {
            AddressSource::Pool(name) => Some(name.clone()),
            AddressSource::Inline(_) => None,
        }));
        for pool in one.inline_pools() {
            let name = inline_pool_name(&reference, own.len());
            own.extend(name.map(|name| (name, pool.spec.clone())));
        }
    }
    Ok(DefinitionFacts { reference, uid: definition.uid, version: definition.resource_version, named, own })
}

fn read(config: &str) -> Vec<ClusterLocalConf> {
    let Ok(list) = NetworkList::parse(config.as_bytes()) else { return Vec::new() };
    let is_ours = |raw: &manifold_cni::RawObject| {
        ipam::ipam_type(raw).ok().flatten().is_some_and(|kind| kind.as_str() == TYPE)
    };
    let ours = list.plugins.iter().filter(|plugin| is_ours(&plugin.raw));
    ours.filter_map(|plugin| ClusterLocalConf::read_without_request(&plugin.raw, list.version()).ok())
        .collect()
}

/// What to do so that each definition has its pools.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Create(Box<DynamicObject>),
    Replace(Box<DynamicObject>),
    /// By name, UID and version.
    Delete(String, String, String),
}

/// Compares the pools that there are with those that definitions want. `is_used`: whether anybody has an address of it; then it
/// stays until that is over.
pub(super) fn changes<'a>(
    definitions: impl Iterator<Item = &'a DefinitionFacts>,
    pools: impl Iterator<Item = &'a PoolObject>,
    is_used: impl Fn(&str) -> bool,
) -> Vec<Change> {
    let mut wanted: BTreeMap<&str, (&NadRef, &PoolSpec)> = BTreeMap::new();
    for definition in definitions {
        let own = definition.own.iter().map(|(name, spec)| (name.as_str(), (&definition.reference, spec)));
        // Two definitions can come to one name, `a.b` of a namespace and the second range of `a`: the first keeps it.
        for (name, of) in own {
            wanted.entry(name).or_insert(of);
        }
    }
    let mut changes = Vec::new();
    for pool in pools {
        let Some((reference, spec)) = wanted.remove(pool.name.as_str()) else {
            let is_over = pool.definition.is_some() && !pool.is_going && !is_used(&pool.name);
            changes.extend(is_over.then(|| deletion(pool)));
            continue;
        };
        // One that somebody else made under this name is theirs.
        if pool.definition.as_ref() != Some(reference) || pool.is_going {
            continue;
        }
        let same_place = (&pool.spec.domain, &pool.spec.subnet) == (&spec.domain, &spec.subnet);
        let derived = |spec: &PoolSpec| (spec.ranges.clone(), spec.exclude.clone(), spec.gateway.clone());
        if !same_place {
            // Neither can change. Another one is made when this one is gone.
            changes.extend((!is_used(&pool.name)).then(|| deletion(pool)));
        } else if derived(&pool.spec) != derived(spec) {
            changes.push(Change::Replace(Box::new(renewed(pool, spec))));
        }
    }
    changes.extend(
        wanted
            .into_iter()
            .map(|(name, (reference, spec))| Change::Create(Box::new(made(name, reference, spec)))),
    );
    changes
}

fn deletion(pool: &PoolObject) -> Change {
    Change::Delete(pool.name.clone(), pool.uid().to_owned(), pool.version().to_owned())
}

/// What the definition says of it is the definition's; the rest, such as `mode` or `sticky`, is the administrator's.
fn renewed(pool: &PoolObject, spec: &PoolSpec) -> DynamicObject {
    let new = PoolSpec {
        ranges: spec.ranges.clone(),
        exclude: spec.exclude.clone(),
        gateway: spec.gateway.clone(),
        ..pool.spec.clone()
    };
    let mut object = pool.object.clone();
    if let Some(data) = object.data.as_object_mut() {
        data.insert("spec".to_owned(), json!(new));
    }
    object
}

fn made(name: &str, reference: &NadRef, spec: &PoolSpec) -> DynamicObject {
    let mut object = DynamicObject::new(name, &resource::pools());
    object.metadata.labels = Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into());
    object.metadata.annotations = Some([(OF_DEFINITION.to_owned(), reference.to_string())].into());
    object.data = json!({ "spec": spec });
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::read::pool_of;

    fn facts(config: &serde_json::Value) -> DefinitionFacts {
        let object = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "left", "namespace": "shop", "uid": "u", "resourceVersion": "3"},
            "spec": {"config": config.to_string()},
        });
        definition(&serde_json::value::to_raw_value(&object).unwrap()).unwrap()
    }

    fn macvlan(ipam: &serde_json::Value) -> DefinitionFacts {
        let ipam = [("type", json!(TYPE))]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .chain(ipam.as_object().unwrap().clone());
        let ipam: serde_json::Map<String, serde_json::Value> = ipam.collect();
        facts(
            &json!({"cniVersion": "1.0.0", "name": "left", "type": "macvlan", "master": "eth1", "ipam": ipam}),
        )
    }

    fn inline(start: &str) -> DefinitionFacts {
        macvlan(
            &json!({"ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": start}], [{"subnet": "fd00::/64"}]]}),
        )
    }

    fn stored(change: &Change) -> PoolObject {
        let Change::Create(object) = change else { panic!("{change:?}") };
        let mut object = (**object).clone();
        (object.metadata.uid, object.metadata.resource_version) = (Some("p".into()), Some("9".into()));
        pool_of(object).unwrap()
    }

    // Shows part of: IPAM-27
    #[test]
    fn each_range_of_a_definition_is_a_pool_that_changes_and_goes_with_it() {
        let first = inline("10.1.0.10");
        let made = changes([&first].into_iter(), [].into_iter(), |_| false);
        let pools: Vec<PoolObject> = made.iter().map(stored).collect();
        let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
        assert_eq!(names, ["shop.left", "shop.left.1"]);
        assert!(
            pools.iter().all(|pool| pool.pool.is_ok() && pool.definition == Some(first.reference.clone()))
        );
        assert_eq!(changes([&first].into_iter(), pools.iter(), |_| true), []);
        let other = inline("10.1.0.20");
        let changed = changes([&other].into_iter(), pools.iter(), |_| true);
        let [Change::Replace(object)] = changed.as_slice() else { panic!("{changed:?}") };
        assert_eq!(object.data.pointer("/spec/ranges/0/start"), Some(&json!("10.1.0.20")));
        assert_eq!(changes([].into_iter(), pools.iter(), |_| true), [], "used");
        let gone = changes([].into_iter(), pools.iter(), |name| name == "shop.left");
        assert_eq!(gone, [Change::Delete("shop.left.1".into(), "p".into(), "9".into())]);
    }

    #[test]
    fn pools_of_others_and_definitions_of_other_types_are_left_alone() {
        let named = macvlan(&json!({"pools": ["storage", "storage-v6"]}));
        assert_eq!(named.pools().map(PoolName::as_str).collect::<Vec<_>>(), ["storage", "storage-v6"]);
        let other =
            facts(&json!({"cniVersion": "1.0.0", "name": "a", "type": "macvlan", "ipam": {"type": "dhcp"}}));
        assert_eq!(other.pools().count() + facts(&json!("no list")).pools().count(), 0);
        let mut theirs = stored(&changes([&inline("10.1.0.10")].into_iter(), [].into_iter(), |_| false)[0]);
        theirs.definition = None;
        let own = inline("10.1.0.20");
        let found = changes([&own].into_iter(), [&theirs].into_iter(), |_| false);
        assert!(matches!(found.as_slice(), [Change::Create(_)]), "only the second range: {found:?}");
        assert_eq!(changes([].into_iter(), [&theirs].into_iter(), |_| false), []);
    }
}
