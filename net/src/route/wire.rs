//! A route as the kernel's message, and back.

use super::*;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Add,
    Delete,
}

/// What the kernel takes for "any" in a deletion.
const SCOPE_ANY: u8 = 255;
const SCOPE_GLOBAL: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;

pub(super) fn write(route: &Route, purpose: Purpose) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: route.family().code(),
        destination_prefix_length: route.dst.prefix_len(),
        table: u8::try_from(route.table_or_main()).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: RouteProtocol::from(route.protocol.unwrap_or(match purpose {
            Purpose::Add => PROTOCOL_BOOT,
            Purpose::Delete => 0,
        })),
        scope: RouteScope::from(scope(route, purpose)),
        kind: route.kind.into(),
        flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
        ..RouteHeader::default()
    };
    let attributes = &mut message.attributes;
    if route.dst.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(route.dst.network().into()));
    }
    if route.table_or_main() > u32::from(u8::MAX) {
        attributes.push(RouteAttribute::Table(route.table_or_main()));
    }
    attributes.extend(route.gateway.map(|gateway| gateway_of(route.family(), gateway)));
    attributes.extend(route.oif.map(RouteAttribute::Oif));
    attributes.extend(route.src.map(|src| RouteAttribute::PrefSource(src.into())));
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    if !route.multipath.is_empty() {
        let hops = route.multipath.iter().map(|hop| write_hop(route.family(), hop)).collect();
        attributes.push(RouteAttribute::MultiPath(hops));
    }
    let metrics: Vec<_> =
        route.mtu.map(RouteMetric::Mtu).into_iter().chain(route.advmss.map(RouteMetric::Advmss)).collect();
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

fn scope(route: &Route, purpose: Purpose) -> u8 {
    let direct = route.gateway.is_none() && route.multipath.iter().all(|hop| hop.gateway.is_none());
    match (route.scope, purpose, route.family(), route.kind) {
        (Some(scope), ..) => scope,
        (None, Purpose::Delete, ..) => SCOPE_ANY,
        (None, _, Family::V4, RouteKind::Local) => SCOPE_HOST,
        (None, _, Family::V4, RouteKind::Unicast | RouteKind::Broadcast) if direct => SCOPE_LINK,
        _ => SCOPE_GLOBAL,
    }
}

fn gateway_of(family: Family, gateway: IpAddr) -> RouteAttribute {
    if Family::of(gateway) == family {
        RouteAttribute::Gateway(gateway.into())
    } else {
        RouteAttribute::Via(gateway.into())
    }
}

fn write_hop(family: Family, hop: &NextHop) -> RouteNextHop {
    let mut wire = RouteNextHop::default();
    wire.interface_index = hop.oif;
    wire.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    wire.flags.set(RouteNextHopFlags::Onlink, hop.onlink);
    wire.attributes.extend(hop.gateway.map(|gateway| gateway_of(family, gateway)));
    wire
}

pub(super) fn read(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = message.header;
    let mut route = match Family::from_code(header.address_family)? {
        family if header.destination_prefix_length == 0 => Route::default_of(family),
        _ => Route::new(destination(&message.attributes, header.destination_prefix_length)?),
    };
    route.table = Some(header.table.into());
    route.scope = Some(header.scope.into());
    route.protocol = Some(header.protocol.into());
    route.onlink = header.flags.contains(RouteFlags::Onlink);
    route.kind = header.kind.into();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Table(table) => route.table = Some(table),
            RouteAttribute::Oif(index) => route.oif = Some(index),
            RouteAttribute::PrefSource(address) => route.src = wire_ip(&address),
            RouteAttribute::Priority(priority) => route.priority = Some(priority),
            RouteAttribute::MultiPath(hops) => route.multipath = hops.iter().map(read_hop).collect(),
            RouteAttribute::Metrics(metrics) => take_metrics(&mut route, &metrics),
            other => route.gateway = gateway_in(&other).or(route.gateway),
        }
    }
    Some(route)
}

fn destination(attributes: &[RouteAttribute], prefix: u8) -> Option<IpNet> {
    let found = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => wire_ip(address),
        _ => None,
    });
    IpNet::new(found?, prefix).ok()
}

fn take_metrics(route: &mut Route, metrics: &[RouteMetric]) {
    for metric in metrics {
        match metric {
            RouteMetric::Mtu(mtu) => route.mtu = Some(*mtu),
            RouteMetric::Advmss(advmss) => route.advmss = Some(*advmss),
            _ => {}
        }
    }
}

fn read_hop(wire: &RouteNextHop) -> NextHop {
    NextHop {
        gateway: wire.attributes.iter().find_map(gateway_in),
        oif: wire.interface_index,
        weight: u16::from(wire.hops) + 1,
        onlink: wire.flags.contains(RouteNextHopFlags::Onlink),
    }
}

fn gateway_in(attribute: &RouteAttribute) -> Option<IpAddr> {
    use netlink_packet_route::route::RouteVia;
    match attribute {
        RouteAttribute::Gateway(address) => wire_ip(address),
        RouteAttribute::Via(RouteVia::Inet(ip)) => Some((*ip).into()),
        RouteAttribute::Via(RouteVia::Inet6(ip)) => Some((*ip).into()),
        _ => None,
    }
}

fn wire_ip(address: &netlink_packet_route::route::RouteAddress) -> Option<IpAddr> {
    use netlink_packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

impl From<RouteKind> for RouteType {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Unicast => Self::Unicast,
            RouteKind::Local => Self::Local,
            RouteKind::Broadcast => Self::Broadcast,
            RouteKind::Anycast => Self::Anycast,
            RouteKind::Multicast => Self::Multicast,
            RouteKind::Blackhole => Self::BlackHole,
            RouteKind::Unreachable => Self::Unreachable,
            RouteKind::Prohibit => Self::Prohibit,
            RouteKind::Throw => Self::Throw,
            RouteKind::Other(code) => Self::from(code),
        }
    }
}

impl From<RouteType> for RouteKind {
    fn from(wire: RouteType) -> Self {
        match wire {
            RouteType::Unicast => Self::Unicast,
            RouteType::Local => Self::Local,
            RouteType::Broadcast => Self::Broadcast,
            RouteType::Anycast => Self::Anycast,
            RouteType::Multicast => Self::Multicast,
            RouteType::BlackHole => Self::Blackhole,
            RouteType::Unreachable => Self::Unreachable,
            RouteType::Prohibit => Self::Prohibit,
            RouteType::Throw => Self::Throw,
            other => Self::Other(other.into()),
        }
    }
}
