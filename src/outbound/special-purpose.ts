// Addresses that no webhook may lead to: every block of IANA's special-purpose registries of IPv4 and IPv6, and what
// other registries and retired standards set apart.
//
// Blocks that the registries call globally reachable (anycast relays, AS112, AMT) are here as well: no receiver has
// an address among them. Blocks within others are listed, so that the table can be compared with the registries.

/** A block in CIDR notation, what it is for, and where that is written. */
export type SpecialBlock = { block: string; name: string; source: string };

/** https://www.iana.org/assignments/iana-ipv4-special-registry, multicast, and one address of a cloud. */
export const SPECIAL_IPV4: readonly SpecialBlock[] = [
  { block: "0.0.0.0/8", name: "this network", source: "RFC 791 §3.2" },
  { block: "0.0.0.0/32", name: "this host on this network", source: "RFC 1122 §3.2.1.3" },
  { block: "10.0.0.0/8", name: "private use", source: "RFC 1918" },
  { block: "100.64.0.0/10", name: "shared address space of carrier-grade NAT", source: "RFC 6598" },
  { block: "127.0.0.0/8", name: "loopback", source: "RFC 1122 §3.2.1.3" },
  { block: "169.254.0.0/16", name: "link local, metadata services of clouds", source: "RFC 3927" },
  { block: "168.63.129.16/32", name: "Azure's host as its machines see it", source: "Azure's documentation" },
  { block: "172.16.0.0/12", name: "private use", source: "RFC 1918" },
  { block: "192.0.0.0/24", name: "IETF protocol assignments", source: "RFC 6890 §2.1" },
  { block: "192.0.0.0/29", name: "IPv4 service continuity prefix", source: "RFC 7335" },
  { block: "192.0.0.8/32", name: "IPv4 dummy address", source: "RFC 7600" },
  { block: "192.0.0.9/32", name: "Port Control Protocol anycast", source: "RFC 7723" },
  { block: "192.0.0.10/32", name: "TURN anycast", source: "RFC 8155" },
  { block: "192.0.0.170/32", name: "NAT64 and DNS64 discovery", source: "RFC 8880, RFC 7050 §2.2" },
  { block: "192.0.0.171/32", name: "NAT64 and DNS64 discovery", source: "RFC 8880, RFC 7050 §2.2" },
  { block: "192.0.2.0/24", name: "documentation, TEST-NET-1", source: "RFC 5737" },
  { block: "192.31.196.0/24", name: "AS112-v4", source: "RFC 7535" },
  { block: "192.52.193.0/24", name: "AMT", source: "RFC 7450" },
  { block: "192.88.99.0/24", name: "6to4 relay anycast, deprecated", source: "RFC 7526" },
  { block: "192.88.99.2/32", name: "6a44 relay anycast", source: "RFC 6751" },
  { block: "192.168.0.0/16", name: "private use", source: "RFC 1918" },
  { block: "192.175.48.0/24", name: "direct delegation AS112 service", source: "RFC 7534" },
  { block: "198.18.0.0/15", name: "benchmarking", source: "RFC 2544" },
  { block: "198.51.100.0/24", name: "documentation, TEST-NET-2", source: "RFC 5737" },
  { block: "203.0.113.0/24", name: "documentation, TEST-NET-3", source: "RFC 5737" },
  { block: "224.0.0.0/4", name: "multicast", source: "RFC 5771" },
  { block: "240.0.0.0/4", name: "reserved, class E", source: "RFC 1112 §4" },
  { block: "255.255.255.255/32", name: "limited broadcast", source: "RFC 8190, RFC 919 §7" },
];

/** https://www.iana.org/assignments/iana-ipv6-special-registry, multicast, and forms that are out of use. */
export const SPECIAL_IPV6: readonly SpecialBlock[] = [
  { block: "::/128", name: "unspecified", source: "RFC 4291 §2.5.2" },
  { block: "::1/128", name: "loopback", source: "RFC 4291 §2.5.3" },
  { block: "::/96", name: "IPv4-compatible, deprecated", source: "RFC 4291 §2.5.5.1" },
  { block: "::ffff:0:0/96", name: "IPv4-mapped", source: "RFC 4291 §2.5.5.2" },
  { block: "::ffff:0:0:0/96", name: "IPv4-translated", source: "RFC 2765 §2.1" },
  { block: "64:ff9b::/96", name: "NAT64", source: "RFC 6052" },
  { block: "64:ff9b:1::/48", name: "NAT64 of local use", source: "RFC 8215" },
  { block: "100::/64", name: "discard only", source: "RFC 6666" },
  { block: "100:0:0:1::/64", name: "dummy prefix", source: "RFC 9780" },
  { block: "2001::/23", name: "IETF protocol assignments", source: "RFC 2928" },
  { block: "2001::/32", name: "Teredo", source: "RFC 4380, RFC 8190" },
  { block: "2001:1::1/128", name: "Port Control Protocol anycast", source: "RFC 7723" },
  { block: "2001:1::2/128", name: "TURN anycast", source: "RFC 8155" },
  { block: "2001:1::3/128", name: "DNS-SD service registration anycast", source: "RFC 9665" },
  { block: "2001:2::/48", name: "benchmarking", source: "RFC 5180" },
  { block: "2001:3::/32", name: "AMT", source: "RFC 7450" },
  { block: "2001:4:112::/48", name: "AS112-v6", source: "RFC 7535" },
  { block: "2001:10::/28", name: "ORCHID, deprecated", source: "RFC 4843" },
  { block: "2001:20::/28", name: "ORCHIDv2", source: "RFC 7343" },
  { block: "2001:30::/28", name: "drone remote identification", source: "RFC 9374" },
  { block: "2001:db8::/32", name: "documentation", source: "RFC 3849" },
  { block: "2002::/16", name: "6to4", source: "RFC 3056" },
  { block: "2620:4f:8000::/48", name: "direct delegation AS112 service", source: "RFC 7534" },
  { block: "3ffe::/16", name: "6bone, returned", source: "RFC 3701" },
  { block: "3fff::/20", name: "documentation", source: "RFC 9637" },
  { block: "5f00::/16", name: "segment routing identifiers", source: "RFC 9602" },
  { block: "fc00::/7", name: "unique local", source: "RFC 4193, RFC 8190" },
  { block: "fe80::/10", name: "link local", source: "RFC 4291 §2.5.6" },
  { block: "fec0::/10", name: "site local, deprecated", source: "RFC 3879" },
  { block: "ff00::/8", name: "multicast", source: "RFC 4291 §2.7" },
];

/** All that IANA hands out of IPv6. Nothing outside of it is public, whether it is in the table or not. */
export const GLOBAL_UNICAST_IPV6 = "2000::/3";

/** A domain under which nothing is a receiver on the Internet. */
export type SpecialName = { name: string; source: string };

/**
 * https://www.iana.org/assignments/special-use-domain-names without those for documentation: `example` and
 * `example.com` lead nowhere private, and are what people try a configuration with. And the names of private
 * networks, which nobody can own.
 */
export const SPECIAL_NAMES: readonly SpecialName[] = [
  { name: "alt", source: "RFC 9476" },
  // With home.arpa, ipv4only.arpa, resolver.arpa, service.arpa, eap.arpa, in-addr.arpa and ip6.arpa.
  { name: "arpa", source: "RFC 3172, RFC 8375, RFC 8880" },
  { name: "internal", source: "ICANN Board resolution 2024.07.29.06" },
  { name: "invalid", source: "RFC 6761 §6.4" },
  { name: "local", source: "RFC 6762 §3" },
  { name: "localhost", source: "RFC 6761 §6.3" },
  { name: "onion", source: "RFC 7686" },
  { name: "test", source: "RFC 6761 §6.2" },
  { name: "corp", source: "RFC 6762 appendix G" },
  { name: "home", source: "RFC 6762 appendix G" },
  { name: "intranet", source: "RFC 6762 appendix G" },
  { name: "lan", source: "RFC 6762 appendix G" },
  { name: "private", source: "RFC 6762 appendix G" },
  // localhost.localdomain stands in the hosts file of many systems.
  { name: "localdomain", source: "custom of Linux distributions" },
];
