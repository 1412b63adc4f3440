//! CHECK: settings and attributes are still as the configuration says (PLG-TUNING-9).

use manifold_cni::{Attachment, CniError};
use manifold_net::{Link, Net, sysctl};
use manifold_plugin_conf::TuningConf;

use crate::interface::failure::Told;

/// Values of several numbers are told by the kernel with tabs between them, however they were written.
pub(super) fn settings(pod: &Net, conf: &TuningConf, at: &Attachment) -> Result<(), CniError> {
    for setting in &conf.sysctls {
        let pieces = setting.pieces(&at.ifname);
        let named: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let found = sysctl::get_in(pod.netns(), &named).told()?;
        if !found.split_whitespace().eq(setting.value.split_whitespace()) {
            let (name, value) = (named.join("/"), &setting.value);
            let text = format!("the kernel setting `{name}` is `{}`, not `{value}`", found.trim());
            return Err(CniError::check(text));
        }
    }
    Ok(())
}

pub(super) fn attributes(link: &Link, conf: &TuningConf) -> Result<(), CniError> {
    let differs = |what: &str, found: String, wanted: String| {
        Err(CniError::check(format!("{what} of interface `{}` is `{found}`, not `{wanted}`", link.name)))
    };
    if let Some(mac) = conf.mac
        && link.mac.map(|found| found.0) != Some(mac.octets())
    {
        let found = link.mac.map(|found| found.to_string()).unwrap_or_default();
        return differs("the MAC address", found, mac.to_string());
    }
    if link.promisc != conf.promisc {
        return differs("promiscuous mode", link.promisc.to_string(), conf.promisc.to_string());
    }
    if let Some(mtu) = conf.mtu.get()
        && link.mtu != mtu
    {
        return differs("the MTU", link.mtu.to_string(), mtu.to_string());
    }
    if let Some(allmulti) = conf.allmulti
        && link.allmulti != allmulti
    {
        return differs("all-multicast mode", link.allmulti.to_string(), allmulti.to_string());
    }
    if let Some(length) = conf.tx_queue_len
        && link.tx_queue_len != length
    {
        return differs("the transmit queue length", link.tx_queue_len.to_string(), length.to_string());
    }
    Ok(())
}
