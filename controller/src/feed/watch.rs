//! The watch that goes on from a list: what each line of it says, and when it is no watch any more.

use std::time::Duration;

use kube::api::WatchParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::{Line, Lines};
use super::{Cause, Event, Feed, State};

/// The server ends a watch after this long, and it is begun again: a connection that died in silence is noticed soon.
const WATCH_SECONDS: u32 = 60;
const GRACE: Duration = Duration::from_secs(15);
/// The head of a watch comes at once, or something is wrong.
const HEAD: Duration = Duration::from_secs(10);
/// A watch that lasts this long is one.
const SETTLED: Duration = Duration::from_secs(1);
/// After so many failures in a row the version that the watch goes on from is not trusted any more.
const DISTRUST: u32 = 4;

#[derive(Deserialize)]
struct WatchEvent<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// The one thing that every object of a watch has, bookmarks included.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl<T> Feed<T> {
    pub(super) async fn watch(&mut self, version: String, lines: Option<Lines>) -> (Option<Event<T>>, State) {
        let mut lines = match lines {
            Some(lines) => lines,
            None => match self.ask_watch(&version).await {
                Ok(lines) => lines,
                Err((code, why)) => return (None, self.watch_failed(version, code, &why)),
            },
        };
        let quiet = match self.is_broken {
            true => SETTLED,
            false => Duration::from_secs(WATCH_SECONDS.into()) + GRACE,
        };
        match tokio::time::timeout(quiet, lines.next()).await {
            Ok(Ok(Some(Line::Text(line)))) => {
                lines.said_anything = true;
                self.line(&line, version, lines)
            }
            Ok(Ok(Some(Line::TooLong))) => {
                lines.said_anything = true;
                let event = self.malformed("an object of the watch is too large");
                (Some(event), State::Watch { version, lines: Some(lines) })
            }
            Ok(Err(why)) => (None, self.watch_failed(version, 0, &why.to_string())),
            // Watches end; one that ends before it said a word may be no watch at all.
            Ok(Ok(None)) if !lines.said_anything && lines.began.elapsed() < SETTLED => {
                (None, self.watch_failed(version, 0, "it ended at once"))
            }
            Ok(Ok(None)) => (None, State::Watch { version, lines: None }),
            // In a quiet cluster it has nothing to say.
            Err(_) if self.is_broken => {
                self.works();
                (None, State::Watch { version, lines: Some(lines) })
            }
            Err(_) => (None, self.watch_failed(version, 0, "it was silent for too long")),
        }
    }

    async fn ask_watch(&mut self, version: &str) -> Result<Lines, (u16, String)> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.field_selector = self.source.fields.map(str::to_owned);
        params.label_selector.clone_from(&self.source.labels);
        let request = Request::new(&*self.source.path);
        let request = match self.source.metadata_only {
            true => request.watch_metadata(&params, version),
            false => request.watch(&params, version),
        };
        let request = request.map_err(|e| (0, e.to_string()))?;
        let stream = tokio::time::timeout(HEAD, self.client.request_stream(request)).await;
        match stream.map_err(|_| (0, format!("no answer in {HEAD:?}")))? {
            Ok(stream) => Ok(Lines::new(Box::pin(stream))),
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(other) => Err((0, other.to_string())),
        }
    }

    fn line(&mut self, line: &[u8], version: String, lines: Lines) -> (Option<Event<T>>, State) {
        let Ok(WatchEvent { r#type, object }) = serde_json::from_slice(line) else {
            return (None, self.watch_failed(version, 0, "a line of it is not an event"));
        };
        if r#type == "ERROR" {
            let failure = serde_json::from_str(object.get());
            let Failure { code, message } = failure.unwrap_or(Failure { code: 0, message: String::new() });
            return (None, self.watch_failed(version, code, &message));
        }
        self.works();
        let seen = serde_json::from_str::<Versioned>(object.get()).map(|v| v.metadata.resource_version);
        let version = seen.ok().filter(|v| !v.is_empty()).unwrap_or(version);
        let event = match r#type {
            "ADDED" | "MODIFIED" => Some(self.read(object.get().as_bytes(), Event::Set)),
            "DELETED" => Some(self.read(object.get().as_bytes(), Event::Gone)),
            _ => None,
        };
        (event, State::Watch { version, lines: Some(lines) })
    }

    fn watch_failed(&mut self, version: String, code: u16, why: &str) -> State {
        let is_gone = code == 410;
        self.failed(if is_gone { Cause::VersionGone } else { Cause::WatchFailed }, why);
        match is_gone || self.failures >= DISTRUST {
            true => State::Begin,
            false => State::Watch { version, lines: None },
        }
    }
}
