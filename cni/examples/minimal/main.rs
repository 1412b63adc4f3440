//! A whole CNI plugin in one page: an interface plugin without an interface, and an IPAM plugin with one address.
//!
//! Built once, it is two executables: under the name `fixed` it is the IPAM plugin, under any other the interface
//! plugin. It makes nothing in the kernel, so that only the protocol is left to look at.

mod fixed;

use std::process::ExitCode;

use manifold_cni::{
    Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Interface, Ipam, Plugin, skel,
};

struct Minimal;

/// IPAM types that are linked in. None here: whatever `ipam.type` says is executed from `CNI_PATH`.
fn bundled(_: &str) -> Option<&'static dyn Plugin> {
    None
}

/// The addresses are asked for by whatever plugin the configuration names, if it names one.
fn ipam(input: &Input) -> Result<Option<Ipam<'_>>, CniError> {
    Ipam::of(input, bundled)
}

impl Plugin for Minimal {
    fn name(&self) -> &'static str {
        "minimal"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        let ipam = ipam(input)?;
        let mut result = ipam.as_ref().map_or_else(|| Ok(CniResult::default()), |ipam| ipam.add(at))?;
        // Here an interface would be made. What fails after IPAM gives the addresses back first.
        if input.config.contains("fail") {
            if let Some(ipam) = &ipam {
                ipam.del(&at.detach())?;
            }
            return Err(CniError::failed("the configuration says `fail`"));
        }
        let sandbox = at.netns.display().to_string();
        result.interfaces.push(Interface { name: at.ifname.to_string(), sandbox, ..Interface::default() });
        result.ips.iter_mut().for_each(|ip| ip.interface = Some(0));
        Ok(result)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        input.require_prev_result()?;
        ipam(input)?.map_or(Ok(()), |ipam| ipam.check(at))
    }

    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        ipam(input)?.map_or(Ok(()), |ipam| ipam.del(at))
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        ipam(input)?.map_or(Ok(()), |ipam| ipam.status())
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        ipam(input)?.map_or(Ok(()), |ipam| ipam.gc(keep))
    }
}

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    match name.as_deref().and_then(|path| path.file_name()) {
        Some(name) if name == "fixed" => skel::run(&fixed::Fixed),
        _ => skel::run(&Minimal),
    }
}
