//! What the physical function enforces: set in one order, taken back to what it was, compared (PLG-SRIOV-6, -9, -10).

use manifold_cni::CniError;
use manifold_net::{Mac, Net, Vf, VfChange, VfState};
use manifold_plugin_conf::sriov::{VfLinkState, VfSettings, VlanProto};

use super::store::Record;
use crate::interface::failure::Told;

/// VLAN, address, rates, spoof check, trust, link state: only what is asked for.
pub(super) fn wanted(settings: &VfSettings, mac: Option<Mac>, now: &Vf) -> Vec<VfChange> {
    let mut changes = Vec::new();
    changes.extend(settings.vlan.map(|id| VfChange::Vlan {
        id,
        qos: settings.qos,
        service: settings.proto == VlanProto::Dot1ad,
    }));
    changes.extend(mac.map(VfChange::Mac));
    if Record::rates_asked(settings) {
        changes.push(VfChange::Rate {
            min: settings.min_tx_rate.unwrap_or(now.min_tx_rate),
            max: settings.max_tx_rate.unwrap_or(now.max_tx_rate),
        });
    }
    changes.extend(settings.spoof_check.map(VfChange::SpoofCheck));
    changes.extend(settings.trust.map(VfChange::Trust));
    changes.extend(settings.link_state.map(|state| VfChange::LinkState(state_of(state))));
    changes
}

/// The way back: only what was changed.
pub(super) fn original(record: &Record) -> Vec<VfChange> {
    let mut changes = Vec::new();
    changes.extend(record.vlan.map(|(id, qos, service)| VfChange::Vlan { id, qos, service }));
    changes.extend(record.spoof_check.map(VfChange::SpoofCheck));
    changes.extend(record.admin_mac.as_deref().and_then(|mac| mac.parse().ok()).map(VfChange::Mac));
    changes.extend(record.trust.map(VfChange::Trust));
    changes.extend(record.rates.map(|(min, max)| VfChange::Rate { min, max }));
    changes.extend(record.link_state.map(|n| {
        VfChange::LinkState(match n {
            1 => VfState::Enable,
            2 => VfState::Disable,
            _ => VfState::Auto,
        })
    }));
    changes
}

/// Stops at the first that the card refuses.
pub(super) fn apply(host: &Net, physical: u32, number: u32, changes: &[VfChange]) -> Result<(), CniError> {
    changes.iter().try_for_each(|change| host.change_vf(physical, number, *change).told())
}

/// Tries every one, and tells the first that failed.
pub(super) fn restore(host: &Net, physical: u32, number: u32, changes: &[VfChange]) -> Result<(), CniError> {
    let mut teardown = crate::interface::teardown::Teardown::default();
    for change in changes {
        teardown.part(host.change_vf(physical, number, *change).told());
    }
    teardown.finish()
}

/// The name of the first setting that is another one now.
pub(super) fn changed(settings: &VfSettings, mac: Option<Mac>, now: &Vf) -> Option<&'static str> {
    let differs = |asked: Option<bool>, is: Option<bool>| asked.is_some() && is.is_some() && asked != is;
    let vlan = |id: u16| (id, settings.qos) != (now.vlan, now.qos);
    let state = settings.link_state.map(state_of);
    [
        ("vlan", settings.vlan.is_some_and(vlan)),
        ("mac", mac.is_some_and(|mac| mac != now.mac)),
        ("min_tx_rate", settings.min_tx_rate.is_some_and(|rate| rate != now.min_tx_rate)),
        ("max_tx_rate", settings.max_tx_rate.is_some_and(|rate| rate != now.max_tx_rate)),
        ("spoofchk", differs(settings.spoof_check, now.spoof_check)),
        ("trust", differs(settings.trust, now.trust)),
        ("link_state", state.is_some() && now.link_state.is_some() && state != now.link_state),
    ]
    .into_iter()
    .find_map(|(name, other)| other.then_some(name))
}

fn state_of(state: VfLinkState) -> VfState {
    match state {
        VfLinkState::Auto => VfState::Auto,
        VfLinkState::Enable => VfState::Enable,
        VfLinkState::Disable => VfState::Disable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Shows part of: PLG-SRIOV-6
    #[test]
    fn settings_go_in_one_order_and_what_is_not_asked_for_stays() {
        let settings = VfSettings {
            vlan: Some(5),
            qos: 3,
            spoof_check: Some(false),
            trust: Some(true),
            link_state: Some(VfLinkState::Enable),
            max_tx_rate: Some(100),
            ..VfSettings::default()
        };
        let mac = Mac([2, 0, 0, 0, 0, 7]);
        let now = Vf { min_tx_rate: 9, ..Vf::default() };
        let expected = [
            VfChange::Vlan { id: 5, qos: 3, service: false },
            VfChange::Mac(mac),
            VfChange::Rate { min: 9, max: 100 },
            VfChange::SpoofCheck(false),
            VfChange::Trust(true),
            VfChange::LinkState(VfState::Enable),
        ];
        assert_eq!(wanted(&settings, Some(mac), &now), expected);
        assert_eq!(wanted(&VfSettings::default(), None, &now), []);
    }
}
