//! Firewall rules through `nft`'s JSON: change them all or not at all, and list one table.
//!
//! The crate `nftables` gives the words (re-exported here); running the tool is ours, for the deadline and for errors
//! that say what to do. `nft` works on the namespace of the calling thread; use [`crate::Netns::run`] for another.

pub mod kernel;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

pub use nftables::batch::Batch;
use nftables::schema::{NfListObject, NfObject, Nftables, Table};
use nftables::types::NfFamily;
pub use nftables::{expr, schema, stmt, types};

use crate::tool::{self, NoEnd};

const DEADLINE: Duration = Duration::from_secs(10);

/// The tool.
#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
    deadline: Duration,
}

/// Where a rule stands, and whose it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct ListedRule {
    /// Its chain.
    pub chain: String,
    /// The number by which it is deleted.
    pub handle: u32,
    /// Its comment; empty when it has none.
    pub comment: String,
}

#[derive(Debug, serde::Deserialize)]
struct Listed {
    nftables: Vec<ListedObject>,
}

#[derive(Debug, serde::Deserialize)]
struct ListedObject {
    rule: Option<ListedRule>,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The tool is not on this machine.
    #[error("`nft` is not installed (looked in {}); install the package `nftables`", .searched.join(", "))]
    NotInstalled {
        /// The folders.
        searched: Vec<String>,
    },
    /// It cannot be executed.
    #[error("`{}` cannot be run ({source})", program.display())]
    Run {
        /// The tool.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long and was stopped.
    #[error("`{}` did not end within {} seconds and was stopped", program.display(), deadline.as_secs())]
    Timeout {
        /// The tool.
        program: PathBuf,
        /// How long it had.
        deadline: Duration,
    },
    /// Nothing of the batch was done.
    #[error("`nft` refused to {what}: {said}")]
    Refused {
        /// What was to be done.
        what: String,
        /// What it printed.
        said: String,
    },
    /// What it printed was not understood.
    #[error("the output of `nft` was not understood ({0}); its version may be too old or too new")]
    Output(#[source] serde_json::Error),
}

impl NftError {
    /// A table, chain or rule the batch refers to is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { said, .. } if said.contains("No such file or directory"))
    }
}

impl Nft {
    /// Finds the tool in the usual folders and in `PATH`.
    ///
    /// # Errors
    /// If it is in none of them.
    pub fn find() -> Result<Self, NftError> {
        Self::find_in(&tool::folders())
    }

    /// The same in these folders.
    ///
    /// # Errors
    /// If it is in none of them.
    pub fn find_in(folders: &[PathBuf]) -> Result<Self, NftError> {
        tool::find_in(folders, "nft").map(Self::at).ok_or_else(|| NftError::NotInstalled {
            searched: folders.iter().map(|folder| format!("`{}`", folder.display())).collect(),
        })
    }

    /// The tool at that path.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), deadline: DEADLINE }
    }

    /// The same tool with another limit for each run.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Applies all of the batch, or nothing and says why. `what` ends the sentence "nft refused to …".
    ///
    /// # Errors
    /// If `nft` cannot be run or refuses; nothing of the batch was done then.
    pub fn apply(&self, what: &str, batch: Batch<'_>) -> Result<(), NftError> {
        let input = serde_json::to_vec(&batch.to_nftables()).map_err(NftError::Output)?;
        self.run(what, &["-j", "-f", "-"], &input).map(drop)
    }

    /// The same for changes written in nft's own language, for conditions that a person wrote in it. `what` ends the
    /// sentence "nft refused to …".
    ///
    /// # Errors
    /// If `nft` cannot be run or refuses; nothing of the batch was done then.
    pub fn apply_script(&self, what: &str, script: &str) -> Result<(), NftError> {
        self.run(what, &["-f", "-"], script.as_bytes()).map(drop)
    }

    /// The rules of a table, whatever they say; none if there is no such table. The kernel itself tells; where it does
    /// not answer, the tool.
    ///
    /// # Errors
    /// If `nft` cannot be run or its output is not understood.
    pub fn list_rules(&self, family: NfFamily, name: &str) -> Result<Vec<ListedRule>, NftError> {
        if let Some(rules) = kernel::rules(family, name) {
            return Ok(rules);
        }
        let Some(output) = self.listed(family, name)? else { return Ok(Vec::new()) };
        let listed: Listed = serde_json::from_slice(&output).map_err(NftError::Output)?;
        Ok(listed.nftables.into_iter().filter_map(|object| object.rule).collect())
    }

    /// What a table holds, `None` if there is no such table.
    ///
    /// # Errors
    /// If `nft` cannot be run or its output is not understood.
    pub fn list_table(
        &self,
        family: NfFamily,
        name: &str,
    ) -> Result<Option<Vec<NfListObject<'static>>>, NftError> {
        let Some(output) = self.listed(family, name)? else { return Ok(None) };
        let listed: Nftables<'static> = serde_json::from_slice(&output).map_err(NftError::Output)?;
        Ok(Some(listed.objects.into_owned().into_iter().filter_map(listed_object).collect()))
    }

    fn listed(&self, family: NfFamily, name: &str) -> Result<Option<Vec<u8>>, NftError> {
        let table = Table { family, name: name.into(), handle: None };
        let command = NfObject::CmdObject(schema::NfCmd::List(NfListObject::Table(table)));
        let input =
            serde_json::to_vec(&Nftables { objects: vec![command].into() }).map_err(NftError::Output)?;
        match self.run(&format!("list table `{name}`"), &["-j", "-a", "-f", "-"], &input) {
            Err(error) if error.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Removes a table with all it holds; one that is not there is success.
    ///
    /// # Errors
    /// If `nft` cannot be run or refuses.
    pub fn delete_table(&self, family: NfFamily, name: &str) -> Result<(), NftError> {
        let mut batch = Batch::new();
        delete_table_if_exists(&mut batch, family, name);
        self.apply(&format!("delete table `{name}`"), batch)
    }

    fn run(&self, what: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, NftError> {
        let ended = tool::run(&self.program, arguments, input, Instant::now() + self.deadline)
            .map_err(|no_end| self.no_end(no_end))?;
        if ended.stdout.overflow {
            return Err(NftError::Refused { what: what.to_owned(), said: "it printed too much".to_owned() });
        }
        if ended.status.success() {
            return Ok(ended.stdout.bytes);
        }
        Err(NftError::Refused { what: what.to_owned(), said: told(&ended.stderr.bytes, ended.status) })
    }

    fn no_end(&self, no_end: NoEnd) -> NftError {
        match no_end {
            NoEnd::Start(error) if error.kind() == io::ErrorKind::NotFound => {
                NftError::NotInstalled { searched: vec![format!("`{}`", self.program.display())] }
            }
            NoEnd::Start(source) | NoEnd::Watch(source) => {
                NftError::Run { program: self.program.clone(), source }
            }
            NoEnd::Deadline(_) => {
                NftError::Timeout { program: self.program.clone(), deadline: self.deadline }
            }
        }
    }
}

/// Adds to a batch the removal of a table that may not be there: making it first makes the removal always succeed.
pub fn delete_table_if_exists(batch: &mut Batch<'_>, family: NfFamily, name: &str) {
    let table = || NfListObject::Table(Table { family, name: name.to_owned().into(), handle: None });
    batch.add(table());
    batch.delete(table());
}

fn listed_object(object: NfObject<'static>) -> Option<NfListObject<'static>> {
    match object {
        NfObject::ListObject(NfListObject::MetainfoObject(_)) | NfObject::CmdObject(_) => None,
        NfObject::ListObject(object) => Some(object),
    }
}

/// `nft` points at the place with further lines; the first says what is wrong.
fn told(errors: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(errors);
    let lines = text.lines().map(str::trim);
    let line =
        lines.clone().find(|line| line.contains("Error:")).or_else(|| lines.clone().find(|l| !l.is_empty()));
    line.map_or_else(|| format!("it gave no reason ({status})"), str::to_owned)
}
