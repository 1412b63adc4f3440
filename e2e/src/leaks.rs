//! The leak oracle: what was left behind, and what was taken away that was not one's own.
//!
//! A snapshot is a set of facts about the test's host, the pods' namespaces, folders, processes and, if asked for,
//! objects of the API server. Two snapshots that differ by anything but the reviewed list in [`allowed`] are a leak,
//! and each difference becomes one sentence. The oracle knows nothing of plugins: it does not look for what might
//! be left, it looks at everything.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! # use manifold_e2e::{leaks::Oracle, netns::{HostNs, TestNetns}};
//! # let (host, pod) = (HostNs::new()?, TestNetns::new()?);
//! let oracle = Oracle::new(&host).pod(&pod).folder("leases", &host.folder().join("networks"));
//! let before = oracle.snapshot()?;
//! // ADD, DEL
//! oracle.assert_as_before(&before);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::netns::{HostNs, TestNetns};

mod allowed;
mod fact;
mod files;
mod firewall;
mod glance;
mod links;
mod machine;
mod netlink;
mod sysctl;
mod traffic;

pub use fact::{Kind, Snapshot};
pub use glance::Glance;

use fact::Facts;

/// The kernel takes links, routes and namespaces away a little after the call that asked for it has returned: on a busy
/// machine one worker does so for everybody's namespaces, one after the other.
const SETTLE: Duration = Duration::from_secs(60);

type Objects<'a> = Box<dyn Fn() -> anyhow::Result<Vec<(String, String)>> + Send + Sync + 'a>;

/// What is looked at.
pub struct Oracle<'a> {
    /// Names and mounts of network namespaces.
    places: Vec<(String, PathBuf)>,
    /// What they hold, and where they are: leases, ledger, locks, spool, device-info.
    folders: Vec<(String, PathBuf)>,
    objects: Option<Objects<'a>>,
}

impl fmt::Debug for Oracle<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Oracle")
            .field("places", &self.places)
            .field("folders", &self.folders)
            .field("objects", &self.objects.is_some())
            .finish()
    }
}

impl<'a> Oracle<'a> {
    /// Looks at the test's host, at its processes, and at the machine's mounts of network namespaces.
    pub fn new(host: &HostNs) -> Self {
        Self { places: vec![("host".into(), host.path().into())], folders: Vec::new(), objects: None }
    }

    /// And at a pod's namespace. Pods are numbered in this order: `pod 1`, `pod 2`.
    #[must_use]
    pub fn pod(mut self, netns: &TestNetns) -> Self {
        self.places.push((format!("pod {}", self.places.len()), netns.path().into()));
        self
    }

    /// And at a folder, which need not exist yet. In a folder called `leases`, what host-local leaves is allowed.
    #[must_use]
    pub fn folder(mut self, what: &str, path: &Path) -> Self {
        self.folders.push((what.into(), path.into()));
        self
    }

    /// And at every file and folder that a definition names, wherever it is.
    #[must_use]
    pub fn named_by(mut self, definition: &Value) -> Self {
        files::paths_in(definition, &mut |path| {
            if !self.folders.iter().any(|(_, known)| known == path) {
                self.folders.push((path.display().to_string(), path.to_owned()));
            }
        });
        self
    }

    /// And at objects: pairs of a name and a content.
    #[must_use]
    pub fn objects(
        mut self,
        list: impl Fn() -> anyhow::Result<Vec<(String, String)>> + Send + Sync + 'a,
    ) -> Self {
        self.objects = Some(Box::new(list));
        self
    }

    /// Looks now.
    pub fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut looks = thread::scope(|scope| -> Vec<anyhow::Result<Facts>> {
            let places: Vec<_> =
                self.places.iter().map(|(name, path)| scope.spawn(move || look_into(name, path))).collect();
            let join = |look: thread::ScopedJoinHandle<'_, _>| {
                look.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            places.into_iter().map(join).collect()
        });
        // Afterwards, lest the tools that just ran be taken for processes that were left.
        looks.extend([machine::look(&self.places), files::look(&self.folders)]);
        let mut all = Facts::default();
        for look in looks {
            all.extend(look?);
        }
        for (name, content) in self.objects.iter().flat_map(|list| list().unwrap_or_else(unreadable)) {
            all.add("API server", Kind::Object, name, [("content".to_string(), content)].into());
        }
        Ok(all.into_snapshot())
    }

    /// What differs from `before`, once the kernel has had time to finish: one sentence each; none is what one wants.
    pub fn leaks_since(&self, before: &Snapshot) -> anyhow::Result<Vec<String>> {
        self.leaks_but(before, |_| false)
    }

    /// The same without the sentences that the caller knows to be no leaks of what is tested.
    pub fn leaks_but(&self, before: &Snapshot, known: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let late = Instant::now() > deadline;
            match self.snapshot() {
                Ok(now) => {
                    let mut leaks = before.diff(&now);
                    leaks.retain(|leak| !known(leak));
                    if leaks.is_empty() || late {
                        return Ok(leaks);
                    }
                }
                Err(error) if late => return Err(error),
                // A link that goes while it is looked at.
                Err(_) => {}
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asserts that nothing is left, and nothing gone.
    #[track_caller]
    pub fn assert_as_before(&self, before: &Snapshot) {
        match self.leaks_since(before) {
            Ok(leaks) => assert!(leaks.is_empty(), "{} leaks:\n  {}", leaks.len(), leaks.join("\n  ")),
            Err(error) => panic!("the oracle cannot see: {error:#}"),
        }
    }
}

/// A list that cannot be had is a difference, and not a reason to see nothing else.
fn unreadable(error: anyhow::Error) -> Vec<(String, String)> {
    vec![("the list of objects".into(), format!("{error:#}"))]
}

fn look_into(place: &str, netns: &Path) -> anyhow::Result<Facts> {
    let mut facts = Facts::default();
    if !netns.exists() {
        facts.add(
            place,
            Kind::Namespace,
            "itself".into(),
            [("state".to_string(), "gone".to_string())].into(),
        );
        return Ok(facts);
    }
    let tool = Tool { netns };
    let present = netlink::look(place, netns, &mut facts)?;
    let links = links::look(place, &tool, &present, &mut facts)?;
    if present.shaping {
        traffic::look(place, &tool, &links, &mut facts)?;
    }
    if present.tables {
        firewall::look(place, &tool, &mut facts)?;
        firewall::load_back(place, &tool, &mut facts)?;
    }
    firewall::look_at_legacy(place, &tool, &mut facts)?;
    sysctl::look(place, netns, &mut facts)?;
    Ok(facts)
}

/// Runs the tools that print what the kernel knows.
struct Tool<'a> {
    netns: &'a Path,
}

impl Tool<'_> {
    fn text(&self, words: &[&str]) -> anyhow::Result<String> {
        self.feed(words, "")
    }

    /// The lists that `ip`, `bridge` or `tc` print as JSON, one for each command. One process for all of them: a
    /// snapshot is taken thousands of times in a suite.
    fn lists<const N: usize>(&self, words: &[&str], commands: [&str; N]) -> anyhow::Result<[Vec<Value>; N]> {
        let printed = self.feed(&[words, &["-j", "-batch", "-"]].concat(), &(commands.join("\n") + "\n"))?;
        let lists: Result<Vec<Vec<Value>>, _> =
            serde_json::Deserializer::from_str(&printed).into_iter::<Vec<Value>>().collect();
        let lists =
            lists.with_context(|| format!("`{}` printed something else than lists", words.join(" ")))?;
        let count = lists.len();
        lists.try_into().map_err(|_| {
            anyhow::anyhow!("`{}` printed {count} lists for the {N} commands {commands:?}", words.join(" "))
        })
    }

    fn feed(&self, words: &[&str], input: &str) -> anyhow::Result<String> {
        let (program, arguments) = words.split_first().context("no program was named")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        crate::child::enter_netns(&mut command, self.netns)?;
        let mut child = command.spawn().with_context(|| format!("cannot run `{program}`"))?;
        let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        // Commands of a few hundred bytes fit into the pipe, whether they are read or not.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().with_context(|| format!("cannot wait for `{program}`"))?;
        crate::netns::said(&words.join(" "), &output)
    }
}
