//! The shim's credentials: a token bound to this Node, and the kubeconfig that names it.
//!
//! A token is installed only after the API server has said that it is this Node's. It is renewed at a quarter of its life, by
//! the monotonic clock, and at once when the shim leaves its mark that it was refused. While the API server is away the old
//! one stays, which is good for three quarters of a life more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use manifold_ledger::durable;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::config::Config;
use super::definition::Seen;
use super::identity::{self, ANSWER, Identity};
use super::kubeconfig::{self, Server};
use super::metrics::{Metrics, Renewal};
use crate::connect;
use crate::context::Stop;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// With a mark there are pods that wait.
const MARKED_WAIT: Duration = Duration::from_secs(4);
/// A mark is looked for without being told of it, too.
const LOOK: Duration = Duration::from_secs(2);

/// A token, which is printed nowhere.
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A client that speaks as its holder.
    fn client(&self, base: &kube::Config) -> anyhow::Result<Client> {
        let mut config = base.clone();
        config.auth_info = kube::config::AuthInfo::default();
        config.auth_info.token = Some(secrecy::SecretString::from(self.0.clone()));
        connect::of(config)
    }
}

/// What the rest is told.
#[derive(Clone)]
pub struct Shim {
    /// Speaks as the shim.
    pub client: Client,
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shim")
    }
}

pub struct Credentials {
    config: Config,
    /// How this process reaches the API server.
    base: kube::Config,
    client: Client,
    folder: PathBuf,
    metrics: Metrics,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Credentials {
    pub fn new(config: Config, base: kube::Config, client: Client, metrics: Metrics) -> Self {
        let folder = config.host.state().join("credentials");
        Self { config, base, client, folder, metrics }
    }

    /// Renews until it is time to end. `nudge`: something in the folder changed.
    pub async fn run(
        self,
        identity: watch::Sender<Option<Identity>>,
        shim: watch::Sender<Option<Shim>>,
        nudge: &Notify,
        seen: watch::Receiver<Seen>,
        mut stop: Stop,
    ) {
        let mut wait = FIRST_WAIT;
        loop {
            // Given back, the node gets none until it is installed again.
            if seen.borrow().uninstall.is_some() {
                tokio::select! {
                    () = stop.asked() => return,
                    () = tokio::time::sleep(LOOK) => continue,
                }
            }
            let marked = self.is_marked();
            let next = match self.renew(&identity, &shim).await {
                Ok(life) => {
                    self.metrics.renewed(Renewal::Renewed);
                    if marked {
                        tracing::info!(
                            "the API server had rejected the plugin's token; the plugin has a new one"
                        );
                        let _ = fs::remove_file(self.mark());
                    }
                    wait = FIRST_WAIT;
                    life / 4
                }
                Err(error) => {
                    self.metrics.renewed(Renewal::Failed);
                    tracing::warn!(
                        "the plugin's token is not renewed, and the current one stays in use: {error:#}"
                    );
                    wait = (wait * 2).min(if marked { MARKED_WAIT } else { LONGEST_WAIT });
                    wait
                }
            };
            self.metrics.next_renewal(next.as_secs_f64());
            tokio::select! {
                () = stop.asked() => return,
                () = self.due(next, wait, nudge) => {}
            }
        }
    }

    /// Returns when it is time to renew, or a mark has come since the last try, or the token is gone.
    async fn due(&self, next: Duration, wait: Duration, nudge: &Notify) {
        let (due, earliest) = (Instant::now() + next, Instant::now() + wait.min(MARKED_WAIT));
        loop {
            let look = Instant::now() + LOOK;
            tokio::select! {
                () = sleep_until(due.min(look)) => {}
                () = nudge.notified() => {}
            }
            if Instant::now() >= due {
                return;
            }
            if self.is_marked() || !self.folder.join("token").exists() {
                // A server that refuses whatever it gave would be asked without end.
                sleep_until(earliest.min(due)).await;
                return;
            }
        }
    }

    fn mark(&self) -> PathBuf {
        self.folder.join("refused")
    }

    fn is_marked(&self) -> bool {
        self.mark().exists()
    }

    async fn renew(
        &self,
        told: &watch::Sender<Option<Identity>>,
        shim: &watch::Sender<Option<Shim>>,
    ) -> anyhow::Result<Duration> {
        let own = identity::of(&self.client).await?;
        if told.borrow().as_ref() != Some(&own) {
            told.send_replace(Some(own.clone()));
        }
        let (token, life) = self.mint(&own).await?;
        let client = token.client(&self.base)?;
        // It says nothing of the Node on servers that are too old, or with a proxy in between that answers for others.
        let bound = identity::of(&client).await.context("the new token was tried")?;
        if bound.node != own.node {
            return Err(anyhow!("the new token is of the Node `{}`, and this is `{}`", bound.node, own.node));
        }
        let server = Server::of(&self.config.api_server, &self.base).await?;
        write(&self.folder, &token, &kubeconfig::text(&server)).with_context(|| {
            format!(
                "credentials cannot be written to `{}`; check that the folder can be written",
                self.folder.display()
            )
        })?;
        shim.send_replace(Some(Shim { client }));
        let now = jiff::Timestamp::now().as_second();
        self.metrics.token_expires(now as f64 + life.as_secs_f64());
        Ok(life)
    }

    async fn mint(&self, own: &Identity) -> anyhow::Result<(Token, Duration)> {
        match self.request(own.node.clone(), own.uid.clone()).await {
            // The Node was made anew since our own token was: the server knows its UID.
            Err(kube::Error::Api(status)) if status.code == 409 => self.request(own.node.clone(), None).await,
            other => other,
        }
        .with_context(|| {
            let (namespace, account) = (&self.config.namespace, &self.config.shim_account);
            format!(
                "a token of `{namespace}/{account}` cannot be obtained; check that the account exists and that `create` of \
                 `serviceaccounts/token` with that name is granted in `{namespace}`"
            )
        })
    }

    async fn request(&self, node: String, uid: Option<String>) -> Result<(Token, Duration), kube::Error> {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.config.namespace);
        let spec = TokenRequestSpec {
            audiences: Vec::new(),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Node".into()),
                name: Some(node),
                uid,
            }),
            expiration_seconds: Some(self.config.token.seconds.into()),
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let how = PostParams::default();
        let asked = api.create_token_request(&self.config.shim_account, &how, &request);
        let answer = timeout(ANSWER, asked)
            .await
            .map_err(|_| kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::TimedOut))))??;
        let seconds = answer.spec.expiration_seconds.unwrap_or(self.config.token.seconds.into());
        let life = Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(60));
        Ok((Token(answer.status.map(|status| status.token).unwrap_or_default()), life))
    }
}

/// The token first: a kubeconfig that is there names a token that is there.
fn write(folder: &Path, token: &Token, kubeconfig: &str) -> io::Result<()> {
    durable::folder(folder, 0o700)?;
    durable::put(folder, "token", token.0.as_bytes(), 0o600)?;
    if fs::read(folder.join("kubeconfig")).is_ok_and(|there| there == kubeconfig.as_bytes()) {
        return Ok(());
    }
    durable::put(folder, "kubeconfig", kubeconfig.as_bytes(), 0o600)
}

/// Whether the files are there, and the token was tried, or says itself that it still lives: what a node agent that starts
/// while the API server is away can know.
pub fn on_disk(state_dir: &Path, now: jiff::Timestamp, was_tried: bool) -> bool {
    let folder = state_dir.join("credentials");
    let token = fs::read_to_string(folder.join("token")).unwrap_or_default();
    folder.join("kubeconfig").exists()
        && (was_tried && !token.is_empty() || expires(&token).is_some_and(|at| at > now.as_second()))
}

/// The end of a token's life, in seconds since 1970, as it says itself.
fn expires(token: &str) -> Option<i64> {
    use base64::Engine as _;
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = token.trim().split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Claims>(&bytes).ok().map(|claims| claims.exp)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn a_token_says_until_when_it_lives_and_nonsense_says_nothing() {
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"exp": 1790000000}"#);
        assert_eq!(expires(&format!("head.{claims}.signature\n")), Some(1_790_000_000));
        for nonsense in ["", ".", "a.b.c", "a.e30.c", "\u{1}.\u{2}"] {
            assert_eq!(expires(nonsense), None, "{nonsense:?}");
        }
    }

    // Proves: MLT-INS-3
    #[tokio::test]
    async fn another_token_and_another_authority_replace_the_files_by_a_rename() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (folder, authority) = (dir.path().join("credentials"), dir.path().join("ca.crt"));
        let mut base = kube::Config::new("https://10.96.0.1".parse().unwrap());
        base.root_cert_file = Some(authority.clone());
        let mut seen = Vec::new();
        for (token, text) in [("first", "old"), ("second", "old"), ("second", "new")] {
            fs::write(&authority, text).unwrap();
            let server = Server::of(&Default::default(), &base).await.unwrap();
            write(&folder, &Token(token.into()), &kubeconfig::text(&server)).unwrap();
            // Open files keep their content when a name comes to mean another file, and lose it when that is overwritten.
            seen.push(["token", "kubeconfig"].map(|name| fs::File::open(folder.join(name)).unwrap()));
        }
        let read = |number: usize, name: usize| io::read_to_string(&seen[number][name]).unwrap();
        assert_eq!([read(0, 0), read(1, 0), read(2, 0)], ["first", "second", "second"]);
        let inode = |number: usize| seen[number][1].metadata().unwrap().ino();
        assert_eq!(inode(0), inode(1), "a kubeconfig that says the same stays");
        let has = |text: &str, authority: &str| {
            text.contains(&base64::engine::general_purpose::STANDARD.encode(authority))
        };
        assert!(has(&read(0, 1), "old") && has(&read(2, 1), "new"), "the authority is read anew each time");
    }

    // Proves: S-2
    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", Token("canary-7".into())).contains("canary"));
    }
}
