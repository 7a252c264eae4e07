//! Networks that connections come from: CIDR (RFC 4632, RFC 4291 §2.3), compared with the peer's address.

use crate::name::NameError;
use ipnet::IpNet;
use std::{fmt, net::IpAddr};

/// A network of IPv4 or IPv6. Two are equal if they hold the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

/// The address that a connection comes from, as its socket says it. No header makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(IpAddr);

const FORM: &str = "`203.0.113.0/24` or `2001:db8::/32`";
const WHOLE: &str =
    "`203.0.113.0/24`: nothing behind the prefix, and one address has `/32` or `/128`";
const MAPPED: &str = "`203.0.113.0/24`: IPv4 as IPv4";

impl Network {
    /// Reads an address with the length of its prefix. Bits behind the prefix are an error: whoever wrote them meant
    /// something else.
    pub fn parse(text: &str) -> Result<Network, NameError> {
        let refused = |form| NameError::Form { name: text.chars().take(64).collect(), form };
        let network: IpNet = text.parse().map_err(|_| refused(FORM))?;
        if network.addr() != network.network() {
            return Err(refused(WHOLE));
        }
        if network.addr().to_canonical().is_ipv4() != network.addr().is_ipv4() {
            return Err(refused(MAPPED));
        }
        Ok(Network(network))
    }

    /// Whether a connection comes from it.
    #[must_use]
    pub fn contains(&self, peer: Peer) -> bool {
        self.0.contains(&peer.0)
    }

    /// Whether all of another network is inside.
    #[must_use]
    pub fn covers(&self, other: &Network) -> bool {
        self.0.contains(&other.0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Peer {
    /// The address of a socket's other end. IPv4 that came over a socket of IPv6 is IPv4.
    #[must_use]
    pub fn new(address: IpAddr) -> Peer {
        Peer(address.to_canonical())
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.0
    }
}

/// Whether a connection may come from there: from anywhere where no network is listed. One whose peer nobody knows
/// comes from none of them.
#[must_use]
pub fn admits(networks: &[Network], peer: Option<Peer>) -> bool {
    networks.is_empty()
        || peer.is_some_and(|peer| networks.iter().any(|network| network.contains(peer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let check = |network: &str, address: &str, expected: bool| {
            let peer = Peer::new(address.parse().unwrap());
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(peer), expected, "{address} in {network}");
        };
        check("203.0.113.0/24", "203.0.113.255", true);
        check("203.0.113.0/24", "203.0.114.0", false);
        check("203.0.113.7/32", "203.0.113.7", true);
        check("203.0.113.7/32", "203.0.113.8", false);
        check("127.0.0.0/8", "::ffff:127.0.0.1", true);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "127.0.0.1", false);
    }

    #[test]
    fn what_means_something_else_is_refused() {
        for text in ["203.0.113.0", "203.0.113.7/24", "203.0.113.0/33", "::ffff:203.0.113.0/120"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
        for text in ["", "*", "example.com/24", "203.0.113/24", "0203.0.113.0/24", " 10.0.0.0/8"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn without_networks_everybody_is_admitted_and_with_them_nobody_unknown() {
        let some = [Network::parse("10.0.0.0/8").unwrap()];
        assert!(admits(&[], None));
        assert!(!admits(&some, None));
        assert!(admits(&some, Some(Peer::new("10.1.2.3".parse().unwrap()))));
    }
}
