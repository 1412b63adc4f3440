//! A plugin that is linked into this executable, behind the same contract as an executed one.
//!
//! A call runs on the caller's thread, and a panic in it becomes its error. A thread for each call would only cost: work
//! in a pod's namespace returns from it or ends the process (`manifold_net::Netns::run`), so nothing of a plugin stays
//! with the thread. Plugins bound every wait of theirs by `Input::deadline`; for what cannot be
//! bounded there is the [`crate::watchdog`].

use std::any::Any;

use crate::dispatch::dispatch;
use crate::{
    Attachment, Bundled, CniError, Delegate, Detachment, Input, Invocation, Plugin, Request, Verb, code,
};

#[cfg(test)]
mod tests;

impl Delegate for Bundled {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn call(&self, invocation: &Invocation<'_>) -> Result<Vec<u8>, CniError> {
        let request = request(invocation)?;
        manifold_process::hand_on(&self.keep_open, || dispatch_caught(self.plugin, &request))
    }
}

/// Calls the plugin; a panic of it ends here.
pub(crate) fn dispatch_caught(plugin: &dyn Plugin, request: &Request) -> Result<Vec<u8>, CniError> {
    let call = std::panic::AssertUnwindSafe(|| dispatch(plugin, request));
    std::panic::catch_unwind(call).unwrap_or_else(|panic| Err(panicked(plugin, panic.as_ref())))
}

fn panicked(plugin: &dyn Plugin, panic: &(dyn Any + Send)) -> CniError {
    let words =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let msg = format!(
        "plugin `{}` panicked: {}",
        plugin.name(),
        crate::name::printable(words.unwrap_or("no message"))
    );
    CniError::new(code::PANICKED, msg)
        .details("this is a bug in the plugin; report it with its configuration")
}

fn request(invocation: &Invocation<'_>) -> Result<Request, CniError> {
    let input = || Input::from_stdin(&invocation.config, invocation.path.to_vec(), invocation.deadline);
    Ok(match invocation.verb {
        Verb::Add => Request::Add(attachment(invocation)?, input()?),
        Verb::Check => Request::Check(attachment(invocation)?, input()?),
        Verb::Del => Request::Del(detachment(invocation)?, input()?),
        Verb::Status => Request::Status(input()?),
        Verb::Gc => {
            let input = input()?;
            Request::Gc { keep: crate::call::valid_attachments(&input.config)?, input }
        }
        Verb::Version => Request::Version,
    })
}

fn attachment(invocation: &Invocation<'_>) -> Result<Attachment, CniError> {
    let Detachment { container, netns, ifname, args } = detachment(invocation)?;
    let netns = netns.ok_or_else(|| missing("CNI_NETNS"))?;
    Ok(Attachment { container, netns, ifname, args })
}

fn detachment(invocation: &Invocation<'_>) -> Result<Detachment, CniError> {
    Ok(Detachment {
        container: invocation.container.cloned().ok_or_else(|| missing("CNI_CONTAINERID"))?,
        netns: invocation.netns.clone(),
        ifname: invocation.ifname.cloned().ok_or_else(|| missing("CNI_IFNAME"))?,
        args: invocation.args.clone(),
    })
}

fn missing(what: &str) -> CniError {
    CniError::new(code::INVALID_ENVIRONMENT, format!("{what} is missing from the call"))
}
