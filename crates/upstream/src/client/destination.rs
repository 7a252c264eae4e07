//! Which addresses no upstream may have, whatever the catalog says or a name resolves to (S17).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Services of cloud providers that hand credentials to whoever asks from the machine.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
];

/// Why nothing is sent to an address. `stated`: the catalog's URL names this address itself, not a
/// name that resolves to it. `own`: where Ambit listens.
pub(super) fn refused(
    address: SocketAddr,
    stated: bool,
    own: &[SocketAddr],
) -> Option<&'static str> {
    let ip = plain(address.ip());
    if own.iter().any(|own| own.port() == address.port() && reaches(ip, plain(own.ip()))) {
        return Some("Ambit's own address: no upstream is Ambit itself");
    }
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("no address of one machine: write the upstream's own");
    }
    let metadata = match ip {
        IpAddr::V4(ip) => METADATA_V4.contains(&ip),
        IpAddr::V6(ip) => METADATA_V6.contains(&ip),
    };
    if metadata {
        return Some("a metadata service of a cloud, which hands out credentials of this machine");
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local && !stated {
        return Some("a link-local address: write the address itself if it is meant");
    }
    None
}

/// An IPv4 address in any of its IPv6 forms (mapped, compatible, NAT64) as what it is.
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let [a, b, c, d, e, f, high, low] = six.segments();
    let embedded =
        matches!([a, b, c, d, e, f], [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0]);
    if embedded && !six.is_loopback() && !six.is_unspecified() {
        let bits = (u32::from(high) << 16) | u32::from(low);
        return IpAddr::V4(Ipv4Addr::from_bits(bits));
    }
    ip
}

/// Whether a connection to `ip` arrives at a listener on `own`.
fn reaches(ip: IpAddr, own: IpAddr) -> bool {
    // Only an address of this machine can be bound.
    ip == own || ip.is_unspecified() || (own.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambit_metadata_and_link_local_addresses_are_refused_in_every_spelling() {
        let own = ["127.0.0.1:8400".parse().unwrap(), "0.0.0.0:8401".parse().unwrap()];
        let check = |address: &str, stated: bool, allowed: bool| {
            let why = refused(address.parse().unwrap(), stated, &own);
            assert_eq!(why.is_none(), allowed, "{address}: {why:?}");
        };
        check("127.0.0.1:8400", true, false);
        check("127.0.0.1:8402", true, true);
        check("[::ffff:127.0.0.1]:8400", true, false);
        check("[::127.0.0.1]:8400", true, false);
        check("[64:ff9b::7f00:1]:8400", true, false);
        check("0.0.0.0:8400", true, false);
        check("[::]:8400", true, false);
        check("127.0.0.1:8401", true, false);
        check("127.0.0.9:8401", true, false);
        check("192.0.2.1:8401", true, true);
        check("0.0.0.0:9000", true, false);
        check("169.254.169.254:80", true, false);
        check("[::ffff:169.254.169.254]:80", true, false);
        check("[fd00:ec2::254]:80", true, false);
        check("100.100.100.200:80", true, false);
        check("169.254.7.7:80", false, false);
        check("169.254.7.7:80", true, true);
        check("[fe80::1]:80", false, false);
        check("[fe80::1]:80", true, true);
        check("10.0.0.1:80", false, true);
        check("[fd00::1]:80", false, true);
        check("[::1]:9000", false, true);
        check("255.255.255.255:80", true, false);
        check("224.0.0.1:80", true, false);
    }
}
