//! The Lease object: read, taken, renewed and given back, each write only over the version that was read.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::objects::FIELD_MANAGER;

use super::Record;

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("{0}")]
    Server(#[source] Box<kube::Error>),
    #[error("no answer within {0:?}")]
    Slow(Duration),
    #[error("the renewal timed out")]
    Late,
    #[error("the object changed and is read again")]
    Changed,
}

/// One Lease, and under which name we hold it.
#[derive(Clone)]
pub struct Leases {
    api: Api<Lease>,
    name: String,
    identity: String,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("name", &self.name).field("identity", &self.identity).finish()
    }
}

impl Leases {
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned(), identity }
    }

    pub fn identity(&self) -> &str {
        &self.identity
    }

    pub async fn read(&self) -> Result<Option<Record>, LeaseError> {
        let lease = self.api.get_opt(&self.name).await.map_err(server)?;
        Ok(lease.map(|l| record(&l)))
    }

    /// Of this and the writes below: `None` means that somebody else wrote first.
    pub async fn create(&self, lasts: Duration) -> Result<Option<Record>, LeaseError> {
        let lease = self.lease(None, self.spec(lasts, 0));
        written(self.api.create(&parameters(), &lease).await)
    }

    pub async fn take(&self, found: &Record, lasts: Duration) -> Result<Option<Record>, LeaseError> {
        let again = found.is_held_by(&self.identity);
        let spec = self.spec(lasts, found.transitions.saturating_add(i32::from(!again)));
        self.replace(found, spec).await
    }

    pub async fn renew(&self, held: &Record, lasts: Duration) -> Result<Option<Record>, LeaseError> {
        let spec = LeaseSpec { acquire_time: held.acquired.clone(), ..self.spec(lasts, held.transitions) };
        self.replace(held, spec).await
    }

    /// Without a holder, whoever looks next takes it at once. One that is no longer ours is left alone: `false`.
    pub async fn give_back(&self, held: &Record) -> Result<bool, LeaseError> {
        if self.release(held).await? {
            return Ok(true);
        }
        // Renewed by a request whose answer nobody waited for.
        match self.read().await?.filter(|record| record.is_held_by(&self.identity)) {
            Some(record) => self.release(&record).await,
            None => Ok(false),
        }
    }

    async fn release(&self, held: &Record) -> Result<bool, LeaseError> {
        let spec = LeaseSpec {
            holder_identity: None,
            acquire_time: held.acquired.clone(),
            ..self.spec(Duration::from_secs(1), held.transitions)
        };
        self.replace(held, spec).await.map(|written| written.is_some())
    }

    async fn replace(&self, found: &Record, spec: LeaseSpec) -> Result<Option<Record>, LeaseError> {
        let lease = self.lease(Some(found.resource_version.clone()), spec);
        written(self.api.replace(&self.name, &parameters(), &lease).await)
    }

    fn lease(&self, resource_version: Option<String>, spec: LeaseSpec) -> Lease {
        let metadata =
            ObjectMeta { name: Some(self.name.clone()), resource_version, ..ObjectMeta::default() };
        Lease { metadata, spec: Some(spec) }
    }

    fn spec(&self, lasts: Duration, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            acquire_time: Some(now.clone()),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(lasts.as_secs()).unwrap_or(i32::MAX).max(1)),
            lease_transitions: Some(transitions),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or_default();
    Record {
        holder: spec.holder_identity,
        renewed: spec.renew_time.map(|t| t.0.to_string()),
        acquired: spec.acquire_time,
        lasts: Duration::from_secs(seconds.max(1)),
        transitions: spec.lease_transitions.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn written(answer: Result<Lease, kube::Error>) -> Result<Option<Record>, LeaseError> {
    match answer {
        Ok(lease) => Ok(Some(record(&lease))),
        // Changed, made or deleted by somebody else meanwhile.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(None),
        Err(error) => Err(server(error)),
    }
}

fn server(error: kube::Error) -> LeaseError {
    LeaseError::Server(Box::new(error))
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}
