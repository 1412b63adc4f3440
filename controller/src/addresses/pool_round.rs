//! What a round tells of pools: statuses, finalizers, events, counts for metrics.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use kube::api::{DynamicObject, PostParams};
use manifold_addresses::claim::Hints;
use manifold_addresses::leader::{
    Counts, ModeOverTime, Pressure, Showing as _, counts, hints, overlapping, pressure,
};
use manifold_addresses::moment::Seconds;
use manifold_addresses::pool::Pool;
use manifold_crds::ipam::{Allocation, BlockCidr, BlockState, Domain, Offset};
use serde_json::json;
use tokio::time::timeout;

use super::domain::Found;
use super::read::{self, PoolObject};
use super::status::{FINALIZER, Known, NAMED, News, news, status, told_pressure};
use super::view::View;
use super::{inline, resource, send};
use crate::objects::FIELD_MANAGER;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What is remembered of a pool from round to round.
#[derive(Debug, Default)]
pub(super) struct Memory {
    mode: ModeOverTime,
    pressure: Pressure,
}

/// A write to a pool.
#[derive(Debug)]
pub(super) enum PoolWrite {
    Status { object: Box<DynamicObject>, news: Vec<News> },
    Object(Box<DynamicObject>),
    Change(inline::Change),
}

/// What is known of one pool.
pub(super) fn known(
    view: &View,
    object: &PoolObject,
    memory: &mut Memory,
    found: &BTreeMap<Domain, Found>,
    now: Seconds,
) -> Known {
    let Ok(pool) = &object.pool else { return Known::default() };
    let (blocks, shown) = (view.blocks.of(&pool.domain), view.shown(&pool.domain));
    let counts = counts(pool, blocks, &shown);
    memory.pressure = pressure(&counts, memory.pressure);
    let found = found.get(&pool.domain);
    let is_short = found.is_some_and(|found| found.short.contains(&object.name));
    let mode = memory.mode.now(pool, counts.nodes, is_short, now);
    // Nobody is sent to a pool that gives nothing.
    let is_closed = pool.paused || object.is_going;
    let (idle, above) = by_node(view, pool);
    let in_pool = |block: BlockCidr| (pool.ordinary.mask(block) | pool.fixed.mask(block)) != 0;
    let duplicates = found.into_iter().flat_map(|found| &found.duplicates);
    let silent = found.into_iter().flat_map(|found| &found.silent).filter(|(block, _)| in_pool(**block));
    let silent: BTreeSet<String> = silent.map(|(_, node)| node.clone()).collect();
    Known {
        hints: if is_closed {
            Hints { mode: Some(mode), ..Hints::default() }
        } else {
            hints(pool, blocks, mode)
        },
        pressure: memory.pressure,
        networks: networks(view, &object.name),
        idle,
        above,
        pods: if object.is_going { pods(view, pool) } else { Vec::new() },
        overlaps: overlapping((&object.name, pool), view.read_pools())
            .into_iter()
            .map(str::to_owned)
            .collect(),
        duplicates: duplicates
            .filter(|(ip, _)| pool.subnet.contains(*ip))
            .map(|(ip, pods)| format!("{ip}: {}", pods.join(", ")))
            .collect(),
        silent: silent.into_iter().collect(),
        counts,
    }
}

impl Memory {
    /// A new leader begins with what the status says.
    pub(super) fn of(object: &PoolObject) -> Self {
        Self { mode: ModeOverTime::of(object.status.mode), pressure: told_pressure(&object.status) }
    }
}

fn networks(view: &View, pool: &str) -> Vec<String> {
    let uses =
        view.definitions.iter().filter(|definition| definition.pools().any(|name| name.as_str() == pool));
    uses.map(|definition| definition.reference.to_string()).collect()
}

/// On which nodes addresses lie idle, most first; and nodes with more addresses than they may have.
fn by_node(view: &View, pool: &Pool) -> (Vec<(String, u32)>, Vec<String>) {
    let (first, last) = pool.blocks();
    let shown = view.shown(&pool.domain);
    let mut nodes: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (block, stored) in view.blocks.of(&pool.domain).range(first..=last) {
        let (of_pool, used) = (pool.ordinary.mask(*block), shown.mask(*block));
        let parts: Vec<(&str, u16)> = match &stored.spec.state {
            BlockState::Held(held) => vec![(held.holder.node.as_str(), u16::MAX)],
            BlockState::Shared(all) => {
                let of_node = |(offset, allocation)| node_and_bit(offset, allocation);
                all.iter().filter_map(of_node).collect()
            }
        };
        for (node, mask) in parts {
            let entry = nodes.entry(node).or_default();
            entry.0 += (mask & of_pool & !used).count_ones();
            entry.1 += (mask & of_pool).count_ones();
        }
    }
    let mut idle: Vec<(String, u32)> =
        nodes.iter().filter(|(_, n)| n.0 > 0).map(|(node, n)| ((*node).to_owned(), n.0)).collect();
    idle.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let above = nodes.iter().filter(|(_, n)| pool.max_per_node != 0 && n.1 > pool.max_per_node);
    (idle, above.take(NAMED).map(|(node, n)| format!("{node} ({})", n.1)).collect())
}

fn node_and_bit<'a>(offset: &Offset, allocation: &'a Allocation) -> Option<(&'a str, u16)> {
    Some((allocation.node()?.node.as_str(), offset.bit()))
}

fn pods(view: &View, pool: &Pool) -> Vec<String> {
    let (first, last) = pool.blocks();
    let shown = view.shown(&pool.domain);
    let in_pool = |ip: &std::net::IpAddr| pool.ordinary.contains(*ip) || pool.fixed.contains(*ip);
    let mut names = BTreeSet::new();
    for (block, _) in shown.masks(first, last) {
        let living = shown.living(block);
        names.extend(
            living.into_iter().filter(|(ip, _)| in_pool(ip)).flat_map(|(_, by)| by).map(|one| one.pod),
        );
        if names.len() >= NAMED {
            break;
        }
    }
    names.into_iter().take(NAMED).collect()
}

/// What to write of a pool, if anything.
pub(super) fn writes(view: &View, object: &PoolObject, known: &Known) -> Vec<PoolWrite> {
    let mut writes = Vec::new();
    let is_used = known.counts.used > 0 || view.is_used(&object.name);
    let has = object.finalizers.iter().any(|finalizer| finalizer == FINALIZER);
    // Nobody can add one to an object that goes.
    let is_due = if is_used { !has && !object.is_going } else { has };
    if is_due {
        let mut other = object.object.clone();
        let finalizers = other.metadata.finalizers.get_or_insert_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if is_used {
            finalizers.push(FINALIZER.to_owned());
        }
        // Its version moves, so the status comes with the next round.
        return vec![PoolWrite::Object(Box::new(other))];
    }
    let wanted = status(object, known, &send::now());
    if wanted != object.status {
        let news = news(&object.status, &wanted);
        let mut other = object.object.clone();
        if let Some(data) = other.data.as_object_mut() {
            data.insert("status".to_owned(), json!(wanted));
        }
        writes.push(PoolWrite::Status { object: Box::new(other), news });
    }
    writes
}

/// What became of it: the pool as it is now.
pub(super) async fn send_write(client: &Client, write: &PoolWrite) -> anyhow::Result<Option<PoolObject>> {
    let api = resource::all(client.clone(), &resource::pools());
    let how = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let name = |object: &DynamicObject| object.metadata.name.clone().unwrap_or_default();
    let sent = async {
        match write {
            PoolWrite::Status { object, .. } => {
                api.replace_status(&name(object), &how, object).await.map(Some)
            }
            PoolWrite::Object(object) | PoolWrite::Change(inline::Change::Replace(object)) => {
                api.replace(&name(object), &how, object).await.map(Some)
            }
            PoolWrite::Change(inline::Change::Create(object)) => api.create(&how, object).await.map(Some),
            PoolWrite::Change(inline::Change::Delete(name, uid, version)) => {
                let preconditions = kube::api::Preconditions {
                    resource_version: Some(version.clone()),
                    uid: Some(uid.clone()),
                };
                let how =
                    kube::api::DeleteParams { preconditions: Some(preconditions), ..Default::default() };
                api.delete(name, &how).await.map(|_| None)
            }
        }
    };
    let object = timeout(PATIENCE, sent).await??;
    Ok(object.map(read::pool_of).transpose()?)
}

/// The counts of all pools, for metrics.
pub(super) fn all_counts(all: &BTreeMap<String, Known>) -> BTreeMap<String, Counts> {
    all.iter().map(|(name, known)| (name.clone(), known.counts)).collect()
}
