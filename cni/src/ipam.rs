//! An interface plugin's addresses: runs the IPAM plugin that the configuration names.
//!
//! A bundled type is called directly, on the caller's thread; any other is executed from `CNI_PATH`. Both get the
//! complete configuration and the same arguments, and the caller cannot tell which one answered (CNI-DLG-6).

use serde::Deserialize;

use crate::check::is_not_offered;
use crate::dispatch::{never_unknown_container, refuse_unsupported, refuse_verb};
use crate::{
    Attachment, AttachmentId, CniError, CniResult, Delegate, Detachment, Executed, Input, Interface,
    Invocation, Plugin, PluginType, Verb, code,
};

/// The IPAM plugin of one call.
#[derive(Clone)]
pub struct Ipam<'a> {
    input: &'a Input,
    kind: PluginType,
    bundled: Option<&'static dyn Plugin>,
}

impl std::fmt::Debug for Ipam<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ipam({}, bundled: {})", self.kind, self.bundled.is_some())
    }
}

impl<'a> Ipam<'a> {
    /// `None` when the configuration has no `ipam.type`: then the attachment has no addresses.
    /// `bundled` looks a type up among the plugins of this executable.
    ///
    /// # Errors
    /// If `ipam` cannot be read or its plugin is not found.
    pub fn of(
        input: &'a Input,
        bundled: fn(&str) -> Option<&'static dyn Plugin>,
    ) -> Result<Option<Self>, CniError> {
        let kind = match ipam_type(input)? {
            None => return Ok(None),
            Some(raw) if raw.is_empty() => return Ok(None),
            Some(raw) => raw
                .parse()
                .map_err(|e| CniError::config(format!("network `{}`: `/ipam/type`: {e}", input.name))),
        };
        let kind: PluginType = kind?;
        let bundled = bundled(kind.as_str());
        Ok(Some(Self { input, kind, bundled }))
    }

    /// The type, for messages.
    pub fn kind(&self) -> &PluginType {
        &self.kind
    }

    /// Asks for addresses. An answer without any is an error, and whatever failed is released before this returns
    /// (CNI-ADD-5, CNI-DLG-4). Interfaces are not IPAM's business: they and indices to them are dropped (CNI-DLG-5).
    ///
    /// # Errors
    /// The IPAM plugin's own error, or one about an answer that cannot be used.
    pub fn add(&self, at: &Attachment) -> Result<CniResult, CniError> {
        self.add_naming_links(at).map(|(result, _)| result)
    }

    /// As [`Ipam::add`], with the interfaces that the answer names: only a plugin that lets IPAM choose its master
    /// asks for them.
    ///
    /// # Errors
    /// The IPAM plugin's own error, or one about an answer that cannot be used.
    pub fn add_naming_links(&self, at: &Attachment) -> Result<(CniResult, Vec<Interface>), CniError> {
        match self.try_add(at) {
            Ok(result) => Ok(result),
            // Refused because the attachment lives: releasing now would take the living one's address.
            Err(error) if self.bundled.is_some() && error.code == code::ALREADY_ATTACHED => Err(error),
            Err(error) => Err(match self.del(&at.detach()) {
                Ok(()) => error,
                Err(undo) => also(error, &undo),
            }),
        }
    }

    /// Has the addresses released.
    ///
    /// # Errors
    /// The IPAM plugin's own error.
    pub fn del(&self, at: &Detachment) -> Result<(), CniError> {
        match self.direct(Verb::Del)? {
            Some(plugin) => plugin.del(self.input, at),
            None => self.execute(Verb::Del, Some(at)).map(drop),
        }
    }

    /// Has the addresses checked.
    ///
    /// # Errors
    /// The IPAM plugin's own error.
    pub fn check(&self, at: &Attachment) -> Result<(), CniError> {
        match self.direct(Verb::Check)? {
            Some(plugin) => plugin.check(self.input, at),
            None => match self.execute(Verb::Check, Some(&at.detach())) {
                // The caller's own part is checked all the same.
                Err(error) if is_not_offered(&error) => Ok(()),
                answered => answered.map(drop),
            },
        }
    }

    /// Asks whether addresses can be had.
    ///
    /// # Errors
    /// The IPAM plugin's own error.
    pub fn status(&self) -> Result<(), CniError> {
        match self.direct(Verb::Status)? {
            Some(plugin) => plugin.status(self.input),
            None => self.execute(Verb::Status, None).map(drop),
        }
    }

    /// `keep` must be the list of the call itself: an executed plugin reads it from the same configuration, and where
    /// that has none there is nothing to clear (CNI-GC-3).
    ///
    /// # Errors
    /// The IPAM plugin's own error.
    pub fn gc(&self, keep: &[AttachmentId]) -> Result<(), CniError> {
        match self.direct(Verb::Gc)? {
            Some(plugin) if crate::call::valid_attachments(&self.input.config)?.is_some() => {
                plugin.gc(self.input, keep)
            }
            Some(_) => Ok(()),
            None => self.execute(Verb::Gc, None).map(drop),
        }
    }

    fn try_add(&self, at: &Attachment) -> Result<(CniResult, Vec<Interface>), CniError> {
        let mut result = match self.direct(Verb::Add)? {
            Some(plugin) => plugin.add(self.input, at).map_err(never_unknown_container)?,
            None => {
                let answer = self.execute(Verb::Add, Some(&at.detach()))?;
                CniResult::parse(&answer, self.input.version)
                    .map_err(|e| e.context(&format!("IPAM plugin `{}`", self.kind)))?
                    .0
            }
        };
        if result.ips.is_empty() {
            let msg = format!("network `{}`: IPAM plugin `{}` gave no IP config", self.input.name, self.kind);
            return Err(CniError::failed(msg));
        }
        let named = std::mem::take(&mut result.interfaces);
        result.ips.iter_mut().for_each(|ip| ip.interface = None);
        Ok((result, named))
    }

    /// The bundled plugin, after the checks that it would make behind a process boundary.
    fn direct(&self, verb: Verb) -> Result<Option<&'static dyn Plugin>, CniError> {
        let Some(plugin) = self.bundled else { return Ok(None) };
        refuse_unsupported(plugin, self.input.version)?;
        refuse_verb(verb, self.input.version)?;
        Ok(Some(plugin))
    }

    fn execute(&self, verb: Verb, at: Option<&Detachment>) -> Result<Vec<u8>, CniError> {
        let path = crate::find::find(&self.kind, &self.input.path).map_err(|e| {
            CniError::from(e).context(&format!("network `{}`, `/ipam/type`", self.input.name))
        })?;
        Executed::new(self.kind.clone(), path).call(&Invocation {
            verb,
            container: at.map(|at| &at.container),
            netns: at.and_then(|at| at.netns.clone()),
            ifname: at.map(|at| &at.ifname),
            args: at.map(|at| at.args.clone()).unwrap_or_default(),
            path: &self.input.path,
            config: self.input.config.to_vec(),
            deadline: self.input.deadline,
        })
    }
}

fn ipam_type(input: &Input) -> Result<Option<String>, CniError> {
    #[derive(Default, Deserialize)]
    struct Named {
        #[serde(default, rename = "type")]
        kind: Option<String>,
    }
    match input.config.get_as::<Named>("ipam") {
        Ok(ipam) => Ok(ipam.and_then(|ipam| ipam.kind)),
        Err(_) => Err(CniError::new(
            code::INVALID_CONFIG,
            format!("network `{}`: `/ipam` is not an object with a string `type`", input.name),
        )),
    }
}

/// The first error keeps its code; the second is told beside it.
pub(crate) fn also(mut error: CniError, undo: &CniError) -> CniError {
    let gap = if error.details.is_empty() { "" } else { "; " };
    error.details = format!("{}{gap}and releasing it again: {undo}", error.details);
    error
}
