//! Whether the plugins of a network can work in the order they stand in: each has what it needs from those before it.
//!
//! Only what must fail is an error. Of a plugin that is not known nothing is assumed: it may make the interface.

use manifold_cni::{NetworkList, PluginConf, RawObject, Version};

use super::finding::Draft;
use super::kinds::{self, Kind};
use crate::policy::Ours;

/// What is wrong with the chain, with the place of the plugin that it is about. Pointers begin at that plugin.
pub(super) fn of_list(list: &NetworkList, ours: &Ours) -> Vec<(usize, Draft)> {
    let mut found = Vec::new();
    for (n, plugin) in list.plugins.iter().enumerate().filter(|(_, p)| ours.has(&p.kind)) {
        let before = list.plugins.get(..n).unwrap_or_default();
        let link = Link { plugin, before, list, alone: list.plugins.len() == 1 };
        found.extend(link.findings().into_iter().map(|draft| (n, draft)));
    }
    found
}

struct Link<'a> {
    plugin: &'a PluginConf,
    before: &'a [PluginConf],
    list: &'a NetworkList,
    alone: bool,
}

impl<'a> Link<'a> {
    fn name(&self) -> &'a str {
        self.plugin.kind.as_str()
    }

    fn findings(&self) -> Vec<Draft> {
        let name = self.name();
        if kinds::is_ipam(name) {
            return vec![self.ipam_as_plugin()];
        }
        let mut found = self.ipam_section();
        match kinds::kind(name) {
            Some(Kind::Interface { .. }) => found.extend(self.second_interface()),
            Some(Kind::Meta) => match self.before.is_empty() {
                true => found.push(self.nothing_before()),
                false => found.extend(self.meta()),
            },
            _ => {}
        }
        found
    }

    fn ipam_as_plugin(&self) -> Draft {
        let name = self.name();
        let sentence = format!(
            "`{name}` gives addresses but creates no interface, so it cannot be a network's plugin by itself"
        );
        let maker = self.maker().map_or("macvlan", |maker| maker.kind.as_str());
        let fix = format!(
            "name it in the plugin that creates the interface: `{{\"type\": \"{maker}\", \"ipam\": {{\"type\": \"{name}\", …}}}}`"
        );
        Draft::error("/type", sentence).fix(fix)
    }

    /// The plugin before it that makes the interface, if it is a known one.
    fn maker(&self) -> Option<&'a PluginConf> {
        let makes = |p: &&PluginConf| {
            matches!(kinds::kind(p.kind.as_str()), Some(Kind::Interface { .. } | Kind::Stacking))
        };
        self.before.iter().rev().find(makes)
    }

    fn second_interface(&self) -> Option<Draft> {
        let (name, maker) = (self.name(), self.maker()?.kind.as_str());
        let sentence = format!(
            "`{name}` creates an interface, but `{maker}` before it already creates the interface of this network"
        );
        let fix = format!("put `{name}` into a definition of its own, and let pods ask for both");
        Some(Draft::error("/type", sentence).fix(fix))
    }

    fn nothing_before(&self) -> Draft {
        let name = self.name();
        let sentence = format!("`{name}` works on the interface of a plugin before it, but it comes first");
        let makes = |p: &&PluginConf| {
            matches!(kinds::kind(p.kind.as_str()), Some(Kind::Interface { .. } | Kind::Stacking))
        };
        let fix = match self.list.plugins.iter().find(makes) {
            Some(maker) => format!("move it after `{}`", maker.kind),
            None if self.alone => format!(
                "put it after the plugin that creates the interface: `\"plugins\": [{{\"type\": \"macvlan\", …}}, {{\"type\": \"{name}\", …}}]`"
            ),
            None => "put the plugin that creates the interface before it".to_owned(),
        };
        Draft::error("/type", sentence).fix(fix)
    }

    fn meta(&self) -> Vec<Draft> {
        let Some(maker) = self.maker() else { return Vec::new() };
        let by = maker.kind.as_str();
        let mut found = Vec::new();
        match self.name() {
            "bandwidth" if kinds::kind(by) != Some(Kind::Interface { veth: true }) => {
                found.push(self.no_veth(by));
            }
            "sbr" if ipam_type(maker).is_none() => {
                let sentence = format!(
                    "`sbr` routes by the addresses of the interface, and `{by}` has no `ipam` that gives any"
                );
                found.push(
                    Draft::error("/type", sentence).fix(format!("give `{by}` an `ipam`, or leave `sbr` out")),
                );
            }
            "portmap" if ipam_type(maker).is_none() => {
                let sentence = format!(
                    "`portmap` forwards to the addresses of the interface, and `{by}` has no `ipam` that gives any"
                );
                found.push(
                    Draft::warning("/type", sentence)
                        .fix(format!("give `{by}` an `ipam`, or leave `portmap` out")),
                );
            }
            "firewall" if by != "bridge" => found.extend(self.same_bridge(by)),
            _ => {}
        }
        found
    }

    /// Without limits of its own it does nothing until a pod asks for some.
    fn no_veth(&self, by: &str) -> Draft {
        let sentence =
            format!("`bandwidth` shapes the node's end of a veth pair, but the interface of `{by}` has none");
        let rate = |key| self.plugin.raw.get_as::<u64>(key).ok().flatten().unwrap_or_default();
        let limited = rate("ingressRate") > 0 || rate("egressRate") > 0;
        let draft = if limited { Draft::error } else { Draft::warning };
        draft("/type", sentence).fix("use `bridge` or `ptp`, or leave `bandwidth` out")
    }

    fn same_bridge(&self, by: &str) -> Option<Draft> {
        let policy: String = self.plugin.raw.get_as("ingressPolicy").ok()??;
        let on_bridge = matches!(policy.as_str(), "same-bridge" | "isolated");
        let sentence =
            format!("`ingressPolicy` `{policy}` needs a bridge, but the interface of `{by}` is not on one");
        on_bridge.then(|| {
            Draft::warning("/ingressPolicy", sentence).fix("use `bridge`, or `\"ingressPolicy\": \"open\"`")
        })
    }

    /// The plugin that the section names, and whether anybody reads the section.
    fn ipam_section(&self) -> Vec<Draft> {
        let Some(ipam) = ipam_type(self.plugin) else { return Vec::new() };
        let name = self.name();
        match kinds::kind(name) {
            Some(Kind::Meta) => {
                let to = self
                    .maker()
                    .map_or("the plugin that creates the interface".to_owned(), |m| format!("`{}`", m.kind));
                let sentence = format!("`{name}` takes no addresses, so this `ipam` has no effect");
                return vec![Draft::warning("/ipam", sentence).fix(format!("move it to {to}, or remove it"))];
            }
            Some(_) => {}
            None => return Vec::new(),
        }
        self.ipam_kind(&ipam).into_iter().collect()
    }

    fn ipam_kind(&self, ipam: &str) -> Option<Draft> {
        if kinds::is_known_ipam(ipam) {
            let too_new = ipam == "calico-ipam" && self.list.version >= Some(Version::V1_1_0);
            let sentence = "`calico-ipam` may not support CNI 1.1.0, which this configuration asks for";
            return too_new
                .then(|| Draft::warning("/ipam/type", sentence).fix("write `\"cniVersion\": \"1.0.0\"`"));
        }
        if kinds::kind(ipam).is_some() {
            let sentence = format!("`{ipam}` gives no addresses, so it cannot be the `type` of `ipam`");
            return Some(
                Draft::error("/ipam/type", sentence).fix("name an IPAM plugin, such as `host-local`"),
            );
        }
        let sentence = format!("the IPAM plugin `{ipam}` is not a bundled one, so its keys are not checked");
        Some(Draft::warning("/ipam/type", sentence).fix(match kinds::nearest_ipam(ipam) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "install it on every node that runs pods of this network".to_owned(),
        }))
    }
}

/// `ipam.type`, where it can be read; what cannot is the plugin's own rules' to tell.
pub(crate) fn ipam_type(plugin: &PluginConf) -> Option<String> {
    let ipam: RawObject = plugin.raw.get_as("ipam").ok()??;
    ipam.get_as::<String>("type").ok()?.filter(|t| !t.is_empty())
}
