//! Reviews of AddressPools: addresses can be given by it, and none that somebody has falls out of it (IPAM-30, -32, -34).
//!
//! A pool changes rarely and by an administrator's hand. So unlike reviews of pods and definitions, this one reads blocks and,
//! where addresses would be taken away, the pods of the nodes that hold them.

use std::time::Duration;

use kube::Client;
use manifold_addresses::leader::overlapping;
use manifold_addresses::pool::Pool;
use manifold_addresses::set::AddressSet;
use manifold_crds::ipam::{PoolSpec, PoolStatus};
use serde::Deserialize;
use tokio::time::timeout;

use super::review::{Operation, Question, Verdict};
use super::used_addresses::{User, users};
use crate::address_objects::{self, StoredPool};

/// All reading of one review; the API server hangs up after two seconds.
const READING: Duration = Duration::from_millis(1_500);
/// Users that are named; the others are counted.
const NAMED: usize = 10;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    metadata: Metadata,
    spec: PoolSpec,
    status: PoolStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
}

/// The verdict on one request.
pub(super) async fn review(question: &Question, client: &Client) -> Verdict {
    let (new, old) = match (question.object::<Sent>(), question.old_object::<Sent>()) {
        (Ok(new), Ok(old)) => (new, old),
        (Err(error), _) | (_, Err(error)) => return unreadable(&error),
    };
    match (question.operation, new, old) {
        (Operation::Create, Some(new), _) => written(&new, None, client).await,
        (Operation::Update, Some(new), Some(old)) if new.spec == old.spec => Verdict::allow(),
        (Operation::Update, Some(new), old) => written(&new, old.as_ref(), client).await,
        (Operation::Delete, _, Some(old)) => deleted(&old, client).await,
        _ => Verdict::allow(),
    }
}

fn unreadable(error: &serde_json::Error) -> Verdict {
    Verdict::refuse(format!(
        "the pool cannot be read: {error}; write it as `kubectl explain addresspool.spec` says"
    ))
}

/// The verdict on the pool alone, without what the cluster has.
pub(super) fn review_alone(question: &Question) -> Verdict {
    match question.object::<Sent>() {
        Err(error) => unreadable(&error),
        Ok(Some(new)) => read_pool(&new).err().unwrap_or_else(Verdict::allow),
        Ok(None) => Verdict::allow(),
    }
}

fn read_pool(new: &Sent) -> Result<Pool, Verdict> {
    Pool::read(&new.spec).map_err(|problem| {
        Verdict::refuse(format!(
            "AddressPool `{}`: {}, at `spec.{}`",
            new.metadata.name, problem.sentence, problem.field
        ))
    })
}

async fn written(new: &Sent, old: Option<&Sent>, client: &Client) -> Verdict {
    let name = &new.metadata.name;
    let pool = match read_pool(new) {
        Ok(pool) => pool,
        Err(refused) => return refused,
    };
    let mut warnings = Vec::new();
    if let Some(old) = old
        && let Ok(before) = Pool::read(&old.spec)
    {
        match timeout(READING, lost(&before, &pool, &old.status, client)).await {
            Ok(Ok(users)) if !users.is_empty() => return Verdict::refuse(in_use(name, &users)),
            Ok(Ok(_)) => {}
            Ok(Err(why)) => warnings.push(unknown(name, &why)),
            Err(_) => warnings.push(unknown(name, "no answer in time")),
        }
    }
    if let Ok(Ok(all)) =
        timeout(READING / 3, address_objects::list(&address_objects::pools(client), Default::default())).await
    {
        let others: Vec<StoredPool> = all.iter().filter_map(StoredPool::read).collect();
        warnings.extend(overlaps(name, &pool, &others));
    }
    Verdict::warn(warnings)
}

/// Who has addresses that the pool had and has no more.
async fn lost(
    before: &Pool,
    after: &Pool,
    status: &PoolStatus,
    client: &Client,
) -> Result<Vec<User>, String> {
    let mut gone = all_of(before);
    gone.remove_all(&all_of(after));
    users(client, &before.domain, &gone, &status.networks).await
}

fn all_of(pool: &Pool) -> AddressSet {
    let mut all = pool.ordinary.clone();
    all.add_all(&pool.fixed);
    all
}

fn in_use(name: &str, users: &[User]) -> String {
    format!(
        "AddressPool `{name}` would lose addresses that are in use: {}; end these first, or leave the addresses in the pool",
        counted(users)
    )
}

fn counted(users: &[User]) -> String {
    let named: Vec<String> = users.iter().take(NAMED).map(ToString::to_string).collect();
    let rest = users.len().saturating_sub(NAMED);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{more}", named.join(", "))
}

fn unknown(name: &str, why: &str) -> String {
    format!(
        "who uses addresses of AddressPool `{name}` could not be found out in time ({why}); pods that have one keep it until they end"
    )
}

/// One warning for each pool that shares addresses with this one and tells pods something else.
pub(crate) fn overlaps(name: &str, pool: &Pool, others: &[StoredPool]) -> Vec<String> {
    let read: Vec<(&str, Pool)> =
        others.iter().filter_map(|other| Some((other.name.as_str(), other.pool()?))).collect();
    let named = overlapping((name, pool), read.iter().map(|(name, pool)| (*name, pool)));
    let warning = |other: &str| {
        format!(
            "AddressPool `{name}` overlaps `{other}` with another prefix length or gateway, so what a pod receives depends \
             on the pool that gave its address; use one subnet and gateway for both, or another `domain` if they are on different wires"
        )
    };
    named.into_iter().map(warning).collect()
}

async fn deleted(old: &Sent, client: &Client) -> Verdict {
    let Ok(pool) = Pool::read(&old.spec) else { return Verdict::allow() };
    match timeout(READING, users(client, &pool.domain, &all_of(&pool), &old.status.networks)).await {
        Ok(Ok(users)) if !users.is_empty() => Verdict::warn(vec![format!(
            "AddressPool `{}` goes when its last address is free; in use: {}",
            old.metadata.name,
            counted(&users)
        )]),
        _ => Verdict::allow(),
    }
}
