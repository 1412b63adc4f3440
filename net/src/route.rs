//! Routes of every table, both families: one description for reading, adding and removing.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType,
};

use crate::error::NetError;
use crate::net::{Family, Net};

mod wire;

/// A route. [`Route::new`] gives one without a way out; set the fields that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub dst: IpNet,
    /// May be of the other family than `dst`.
    pub gateway: Option<IpAddr>,
    /// The link it leaves by.
    pub oif: Option<u32>,
    /// The source address that packets of this host get.
    pub src: Option<IpAddr>,
    /// `None` is the main table, 254. Always `Some` when read.
    pub table: Option<u32>,
    /// Its metric; `None` leaves the kernel's choice.
    pub priority: Option<u32>,
    /// 0 is global, 253 link, 254 host. `None` is global with a gateway, link without (IPv4; IPv6 has no scopes).
    pub scope: Option<u8>,
    /// The largest packet on it.
    pub mtu: Option<u32>,
    /// The MSS that is advertised on it.
    pub advmss: Option<u32>,
    /// Who made it: 2 the kernel, 3 an administrator (what `None` becomes), 4 static configuration.
    pub protocol: Option<u8>,
    /// The gateway counts as on the link even where no address says so.
    pub onlink: bool,
    /// Several ways out, in place of `gateway` and `oif`.
    pub multipath: Vec<NextHop>,
    /// What becomes of a packet that takes it.
    pub kind: RouteKind,
}

/// One way out of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// By which gateway; none is directly.
    pub gateway: Option<IpAddr>,
    /// By which link.
    pub oif: u32,
    /// Its share, from 1.
    pub weight: u16,
    /// The gateway counts as on the link even where no address says so.
    pub onlink: bool,
}

/// What becomes of a packet that takes the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// It is sent on.
    #[default]
    Unicast,
    /// It is for this host.
    Local,
    /// It is sent to everybody on the link.
    Broadcast,
    /// It is for this host, under an anycast address.
    Anycast,
    /// It is for a group.
    Multicast,
    /// It is dropped.
    Blackhole,
    /// It is refused: no such host.
    Unreachable,
    /// It is refused: forbidden.
    Prohibit,
    /// The next rule decides.
    Throw,
    /// A kind without a name here.
    Other(u8),
}

/// What to do about a route to the same destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAdd {
    /// It is an error.
    Create,
    /// Another way is added in front of it (IPv4: the newest route is used) or beside it (IPv6: a further hop). The same
    /// way twice is an error.
    First,
    /// Another way is added behind it: a further hop (IPv6), a further route (IPv4). The same way twice is an error.
    Append,
    /// It is replaced.
    Replace,
}

/// Which routes to list; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteFilter {
    /// Of the destination.
    pub family: Option<Family>,
    /// The table that they are in.
    pub table: Option<u32>,
    /// Routes with a way out over this link.
    pub oif: Option<u32>,
}

/// The table of routes that name none.
pub const MAIN_TABLE: u32 = 254;
/// The [`Route::protocol`] of routes that come and go with an address.
pub const BY_KERNEL: u8 = 2;
/// The [`Route::protocol`] of routes that a router advertised.
pub const BY_ROUTER_ADVERTISEMENT: u8 = 9;

impl Route {
    /// A unicast route to that destination.
    pub fn new(dst: IpNet) -> Self {
        Self {
            dst,
            gateway: None,
            oif: None,
            src: None,
            table: None,
            priority: None,
            scope: None,
            mtu: None,
            advmss: None,
            protocol: None,
            onlink: false,
            multipath: Vec::new(),
            kind: RouteKind::Unicast,
        }
    }

    /// The default route of a family.
    pub fn default_of(family: Family) -> Self {
        Self::new(match family {
            Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
        })
    }

    /// The family of its destination.
    pub fn family(&self) -> Family {
        Family::of(self.dst.addr())
    }

    /// Whether it leads everywhere.
    pub fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0 && self.kind == RouteKind::Unicast
    }

    /// Its table.
    pub fn table_or_main(&self) -> u32 {
        self.table.unwrap_or(MAIN_TABLE)
    }

    /// Whether some way out goes over this link.
    pub fn leaves_by(&self, link_index: u32) -> bool {
        self.oif == Some(link_index) || self.multipath.iter().any(|hop| hop.oif == link_index)
    }

    fn text(&self) -> String {
        let mut text = format!("`{}`", self.dst);
        if let Some(gateway) = self.gateway {
            text += &format!(" via `{gateway}`");
        }
        if let Some(oif) = self.oif {
            text += &format!(" on link {oif}");
        }
        if let Some(table) = self.table {
            text += &format!(" in table {table}");
        }
        text
    }
}

impl Net {
    /// Adds a route.
    ///
    /// # Errors
    /// If the route is there already and `how` does not allow that, or its gateway cannot be reached.
    pub fn add_route(&self, route: &Route, how: RouteAdd) -> Result<(), NetError> {
        let flags = NLM_F_CREATE
            | match how {
                RouteAdd::Create => NLM_F_EXCL,
                RouteAdd::First => 0,
                RouteAdd::Append => NLM_F_APPEND,
                RouteAdd::Replace => NLM_F_REPLACE,
            };
        let message = wire::write(route, wire::Purpose::Add);
        self.request(|| format!("add route {}", route.text()), RouteNetlinkMessage::NewRoute(message), flags)
            .map(drop)
    }

    /// Removes the first route that has everything the description names; none is an error that says so.
    ///
    /// # Errors
    /// If there is no such route.
    pub fn del_route(&self, route: &Route) -> Result<(), NetError> {
        let message = wire::write(route, wire::Purpose::Delete);
        self.request(|| format!("remove route {}", route.text()), RouteNetlinkMessage::DelRoute(message), 0)
            .map(drop)
    }

    /// The routes of the namespace, of all tables unless the filter says otherwise.
    ///
    /// # Errors
    /// If the kernel refuses to list them.
    pub fn routes(&self, filter: RouteFilter) -> Result<Vec<Route>, NetError> {
        let mut routes = Vec::new();
        for family in [Family::V4, Family::V6] {
            if filter.family.is_none_or(|wanted| wanted == family) {
                routes.extend(self.routes_of(family)?.into_iter().filter(|route| filter.takes(route)));
            }
        }
        Ok(routes)
    }

    fn routes_of(&self, family: Family) -> Result<Vec<Route>, NetError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family.code();
        match self.dump(|| format!("list the {family:?} routes"), RouteNetlinkMessage::GetRoute(message)) {
            Ok(answers) => Ok(answers.into_iter().filter_map(wire::read).collect()),
            Err(error) if family == Family::V6 && error.is_unsupported() => Ok(Vec::new()), // IPv6 is off.
            Err(error) => Err(error),
        }
    }

    /// The route a packet to this address would take, with the source address it would get; `None` if there is none.
    ///
    /// # Errors
    /// If the kernel refuses to say.
    pub fn route_to(&self, destination: IpAddr) -> Result<Option<Route>, NetError> {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::of(destination).code();
        message.header.destination_prefix_length = IpNet::from(destination).prefix_len();
        message.attributes.push(RouteAttribute::Destination(destination.into()));
        let what = || format!("look up the route to `{destination}`");
        match self.request(what, RouteNetlinkMessage::GetRoute(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(wire::read)),
            Err(error) if error.is_unreachable() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl RouteFilter {
    fn takes(&self, route: &Route) -> bool {
        self.table.is_none_or(|table| table == route.table_or_main())
            && self.oif.is_none_or(|index| route.leaves_by(index))
    }
}
