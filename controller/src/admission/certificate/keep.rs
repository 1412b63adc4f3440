//! The leader's part: certificates are issued, told to the API server, put to use and renewed, a step at a time.
//!
//! Each step can be repeated, and what it leads to is read from the API server, so that a leader that ends between two
//! writes leaves nothing that the next one would not finish (F-CTL-3).

use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;

use super::issue::{issue, names};
use super::plan::{Step, after, step};
use super::stored::{Former, Stored, Successor};
use super::trust::TrustStore;
use crate::cluster::term::Term;
use crate::context::{Context, Stop};

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A certificate, from its issue.
    pub valid: SignedDuration,
    /// From telling the API servers of a successor until it is served: all of them have heard of it by then.
    pub settle: SignedDuration,
    /// Between two looks.
    pub look: Duration,
}

impl Lifetimes {
    pub fn of_days(days: u32) -> Self {
        Self {
            valid: SignedDuration::from_hours(i64::from(days) * 24),
            settle: SignedDuration::from_secs(60),
            look: Duration::from_secs(10),
        }
    }
}

/// Keeps the certificate until the term or the process ends.
pub async fn keep_certificate(context: Context, term: Term, stop: Stop) {
    let lifetimes = Lifetimes::of_days(context.config.admission.certificate_days);
    keep_certificate_with(context, term, stop, lifetimes).await;
}

/// The same with other times.
pub async fn keep_certificate_with(context: Context, mut term: Term, mut stop: Stop, lifetimes: Lifetimes) {
    let keeper = Keeper::new(&context, term.clone(), lifetimes);
    let mut wait = lifetimes.look;
    loop {
        wait = match keeper.look().await {
            Ok(()) => lifetimes.look,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the webhook's certificate cannot be maintained"
                );
                (wait * 2).min(Duration::from_secs(60)).max(lifetimes.look)
            }
        };
        tokio::select! {
            () = term.ended() => return,
            () = stop.asked() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

struct Keeper {
    secrets: Api<Secret>,
    name: String,
    names: Vec<String>,
    trust: TrustStore,
    term: Term,
    lifetimes: Lifetimes,
}

/// More steps than a look can need; beyond them somebody undoes what is done, and the next look is soon enough.
const STEPS: usize = 8;

impl Keeper {
    fn new(context: &Context, term: Term, lifetimes: Lifetimes) -> Self {
        let (config, admission) = (&context.config, &context.config.admission);
        Self {
            secrets: Api::namespaced(context.client.clone(), &config.namespace),
            name: admission.secret.clone(),
            names: names(&admission.service, &config.namespace),
            trust: TrustStore::new(context.client.clone(), &admission.configuration),
            term,
            lifetimes,
        }
    }

    /// Does what there is to do.
    async fn look(&self) -> anyhow::Result<()> {
        for _ in 0..STEPS {
            if !self.one_step().await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there was something to do.
    async fn one_step(&self) -> anyhow::Result<bool> {
        let read = self.secrets.get_opt(&self.name).await;
        let secret = read.with_context(|| format!("the Secret `{}` cannot be read", self.name))?;
        let stored = secret.as_ref().and_then(|secret| match Stored::read(secret) {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(
                    secret = self.name,
                    error = format!("{error:#}"),
                    "the certificates are issued again"
                );
                None
            }
        });
        let bundle = stored.as_ref().map(Stored::bundle).unwrap_or_default();
        let trust = self.trust.look(&bundle).await?;
        let now = Timestamp::now();
        let next = step(stored.as_ref(), &self.names, trust, now, &self.lifetimes);
        if next == Step::Rest || !self.term.holds() {
            return Ok(false);
        }
        tracing::info!(step = ?next, secret = self.name, "the webhook's certificate");
        if next == Step::Tell {
            self.trust.tell(&bundle).await?;
        } else {
            let after = self.taken(next, stored, now)?;
            self.write(&after, secret.and_then(|s| s.metadata.resource_version)).await?;
        }
        Ok(true)
    }

    /// What is stored after the step.
    fn taken(&self, step: Step, stored: Option<Stored>, now: Timestamp) -> anyhow::Result<Stored> {
        let expires = after(now, self.lifetimes.valid);
        let Some(mut stored) = stored.filter(|_| step != Step::Issue) else {
            let current = issue(&self.names, now, expires)?;
            return Ok(Stored { names: self.names.clone(), current, successor: None, former: Vec::new() });
        };
        match step {
            Step::Prepare => {
                let issued = issue(&self.names, now, expires)?;
                stored.successor = Some(Successor { issued, told: None });
            }
            Step::Told => {
                if let Some(successor) = &mut stored.successor {
                    successor.told = Some(now);
                }
            }
            Step::Promote => {
                if let Some(successor) = stored.successor.take() {
                    let old = std::mem::replace(&mut stored.current, successor.issued);
                    stored.former.push(Former { authority: old.authority, expires: old.expires });
                }
            }
            Step::Forget => stored.former.retain(|f| f.expires > now),
            Step::Issue | Step::Tell | Step::Rest => {}
        }
        Ok(stored)
    }

    /// Replaces exactly the version that was read; who was quicker is read again at the next look.
    async fn write(&self, stored: &Stored, version: Option<String>) -> anyhow::Result<()> {
        let secret = stored.secret(&self.name, version.clone());
        let written = match version {
            None => self.secrets.create(&PostParams::default(), &secret).await,
            Some(_) => self.secrets.replace(&self.name, &PostParams::default(), &secret).await,
        };
        match written {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            written => {
                written.with_context(|| format!("the Secret `{}` cannot be written", self.name)).map(|_| ())
            }
        }
    }
}
