//! From the `default-route` keys of the selections to one intent per attachment and family.

use std::net::IpAddr;

use super::{Family, Intent, RouteIntent};
use crate::{Refusal, Want};

/// The intents, one per attachment. `pair` lets one selection carry the IPv4 and another the IPv6 gateway (MLT-DEP-5).
///
/// # Errors
/// If several attachments ask for the default route.
pub fn decide(wants: &[Want], pair: bool) -> Result<Vec<RouteIntent>, Refusal> {
    let asked: Vec<Asked<'_>> = wants.iter().enumerate().filter_map(Asked::of).collect();
    check(&asked, pair)?;
    let mut intents = vec![RouteIntent::default(); wants.len()];
    for family in Family::BOTH {
        decide_family(family, &asked, &mut intents);
    }
    Ok(intents)
}

struct Asked<'a> {
    place: usize,
    want: &'a Want,
    gateways: &'a [IpAddr],
}

impl<'a> Asked<'a> {
    fn of((place, want): (usize, &'a Want)) -> Option<Self> {
        let gateways = want.selection.as_ref()?.default_route.as_deref()?;
        Some(Self { place, want, gateways })
    }

    fn gateway(&self, family: Family) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|g| Family::of(*g) == family)
    }
}

fn decide_family(family: Family, asked: &[Asked<'_>], intents: &mut [RouteIntent]) {
    let others = |chosen: usize, intent: Intent, intents: &mut [RouteIntent]| {
        for (_, one) in intents.iter_mut().enumerate().filter(|(place, _)| *place != chosen) {
            one.set(family, intent);
        }
    };
    if let Some((chosen, gateway)) = asked.iter().find_map(|a| Some((a.place, a.gateway(family)?))) {
        others(chosen, Intent::Remove, intents);
        if let Some(intent) = intents.get_mut(chosen) {
            intent.set(family, Intent::Via(gateway));
        }
    } else if let Some(keeper) = asked.iter().find(|a| a.gateways.is_empty()) {
        others(keeper.place, Intent::YieldTo(keeper.place), intents);
    } else {
        // Asked for in the other family only: here the default network goes first.
        for place in asked.iter().map(|a| a.place).filter(|place| *place != 0) {
            if let Some(intent) = intents.get_mut(place) {
                intent.set(family, Intent::YieldTo(0));
            }
        }
    }
}

fn check(asked: &[Asked<'_>], pair: bool) -> Result<(), Refusal> {
    for one in asked {
        for family in Family::BOTH {
            let count = one.gateways.iter().filter(|g| Family::of(**g) == family).count();
            if count > 1 {
                return Err(Refusal::new(
                    format!(
                        "network `{}`: `default-route` has {count} {family} gateways, and a pod has one default route of each family",
                        one.want.source
                    ),
                    format!("keep one {family} gateway in the pod's annotation"),
                ));
            }
        }
    }
    let [first, second, ..] = asked else { return Ok(()) };
    let apart = |family| !(first.gateway(family).is_some() && second.gateway(family).is_some());
    let both = asked.len() == 2 && [first, second].iter().all(|a| !a.gateways.is_empty());
    if pair && both && Family::BOTH.into_iter().all(apart) {
        return Ok(());
    }
    Err(Refusal::new(
        format!(
            "networks `{}` and `{}` both carry `default-route`, and one network can",
            first.want.source, second.want.source
        ),
        "keep the key in one element of the pod's annotation",
    ))
}
