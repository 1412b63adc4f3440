//! `macvlan`: the pod gets a link of its own, with its own MAC address, on a link of the host (PLG-MACVLAN).

use manifold_cni::{Attachment, AttachmentId, CniError, CniResult, Detachment, Input, Ipam, Plugin};
use manifold_net::{Link, Mac, MacvlanSpec, Net};
use manifold_plugin_conf::mac::{Sources, requested};
use manifold_plugin_conf::{MacvlanConf, MacvlanMode};

use super::failure::Told;
use super::record::made::{self, Origin};
use super::sole_link::{self, Addresses, Finish, NOTIFY};
use super::undo::{AfterStep, Undo};
use super::{master, sandbox, verify, veth_pair};

const KIND: &str = "macvlan";

#[derive(Clone, Copy, Debug)]
pub struct Macvlan {
    pub after_step: AfterStep,
}

impl Plugin for Macvlan {
    fn name(&self) -> &'static str {
        "macvlan"
    }

    fn add(&self, input: &Input, at: &Attachment) -> Result<CniResult, CniError> {
        at.args.require_known(&["MAC"])?;
        let conf = read(input)?;
        let mac = requested(&input.config, &at.args, Sources::WithConfigKey)
            .map_err(|problem| problem.into_error(&input.name))?;
        let ipam = Ipam::of(input, crate::bundled)?;
        let (host, pod) = (Net::here().told()?, sandbox::open(&at.netns)?);
        let home = if conf.link_in_container { &pod } else { &host };
        let master = master::find(home, conf.master.as_ref())?;
        master::check_mtu(conf.mtu.get(), &master)?;
        let spec = MacvlanSpec {
            name: at.ifname.as_str(),
            parent_index: master.index,
            mode: mode(conf.mode),
            mac: mac.map(|mac| Mac(mac.octets())),
            mtu: conf.mtu.get(),
            bc_queue_len: (conf.bcqueuelen != 0).then_some(conf.bcqueuelen),
            up: false,
            target: Some(&pod),
        };
        let mut undo = Undo::new(self.after_step);
        let made = make(&mut undo, Origin { input, at, host: &host }, home, &pod, &spec, &master)
            .and_then(|link| furnish(&mut undo, input, at, &conf, &pod, &link, ipam.as_ref()));
        undo.settle(made)
    }

    fn check(&self, input: &Input, at: &Attachment) -> Result<(), CniError> {
        let conf = read(input)?;
        sole_link::check_ipam(input, at)?;
        let found = verify::interface(input, at, KIND)?;
        let host = Net::here().told()?;
        let home = if conf.link_in_container { &found.pod } else { &host };
        master::check(home, conf.master.as_ref(), &found.link)?;
        if found.link.macvlan_mode != Some(mode(conf.mode)) {
            let text = format!("interface `{}` is not in mode `{:?}` any more", at.ifname, mode(conf.mode));
            return Err(CniError::check(text.to_lowercase()));
        }
        found.addresses_and_routes()
    }

    /// Needs neither the master nor a configuration that still fits.
    fn del(&self, input: &Input, at: &Detachment) -> Result<(), CniError> {
        sole_link::del(input, at, KIND)
    }

    fn status(&self, input: &Input) -> Result<(), CniError> {
        sole_link::status(input)
    }

    fn gc(&self, input: &Input, keep: &[AttachmentId]) -> Result<(), CniError> {
        sole_link::gc(input, keep)
    }
}

fn read(input: &Input) -> Result<MacvlanConf, CniError> {
    MacvlanConf::read(&input.config).map_err(|problem| problem.into_error(&input.name))
}

fn make<'a>(
    undo: &mut Undo<'a>,
    origin: Origin<'_>,
    home: &Net,
    pod: &'a Net,
    spec: &MacvlanSpec<'_>,
    master: &Link,
) -> Result<Link, CniError> {
    let link = match home.add_macvlan(spec) {
        Err(error) if error.is_exists() => return Err(veth_pair::taken(&origin.at.ifname)),
        made => made.told().map_err(|error| error.context(&format!("master `{}`", master.name)))?,
    };
    made::keep(undo, "macvlan", origin, pod, &link, None)?;
    Ok(link)
}

/// Without IPAM the neighbours are told nothing, as there is nothing to tell.
fn furnish<'a>(
    undo: &mut Undo<'a>,
    input: &Input,
    at: &'a Attachment,
    conf: &MacvlanConf,
    pod: &'a Net,
    link: &Link,
    ipam: Option<&Ipam<'a>>,
) -> Result<CniResult, CniError> {
    let settings = if ipam.is_some() { NOTIFY } else { &[] };
    let finish = Finish { settings, announce: false, dns: Some(&conf.dns) };
    sole_link::furnish(undo, input, at, pod, link, Addresses::of(ipam), finish)
}

fn mode(mode: MacvlanMode) -> manifold_net::MacvlanMode {
    match mode {
        MacvlanMode::Bridge => manifold_net::MacvlanMode::Bridge,
        MacvlanMode::Private => manifold_net::MacvlanMode::Private,
        MacvlanMode::Vepa => manifold_net::MacvlanMode::Vepa,
        MacvlanMode::Passthru => manifold_net::MacvlanMode::Passthru,
    }
}
