"""IP addresses and CIDRs: Kubernetes' `ip` and `cidr` libraries.

As there, addresses with leading zeros, IPv4-mapped IPv6 addresses and zones are refused.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from minikube_py.meta.cel import costs
from minikube_py.meta.cel.errors import EvaluationError
from minikube_py.meta.cel.functions import function, overload
from minikube_py.meta.cel.types import CIDR

Address = IPv4Address | IPv6Address


class Network:
    """A CIDR as it was written: an address with a prefix length."""

    TYPE = CIDR.name
    __slots__ = ("address", "length")

    def __init__(self, address: Address, length: int) -> None:
        self.address = address
        self.length = length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and other.address == self.address and other.length == self.length

    def __hash__(self) -> int:
        return hash((self.address, self.length))

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"

    @property
    def masked(self) -> "Network":
        """The network without host bits."""
        network = (IPv4Network if self.address.version == 4 else IPv6Network)(
            (self.address.packed, self.length), strict=False
        )
        return Network(network.network_address, self.length)

    @property
    def network_address(self) -> Address:
        """The first address."""
        return self.masked.address

    def contains(self, address: Address) -> bool:
        """Whether the address is in the network."""
        return address.version == self.address.version and Network(address, self.length).masked == self.masked


@lru_cache(maxsize=1024)
def parse_ip(text: str) -> Address:
    """An address. Errors: EvaluationError, worded as Kubernetes' library."""
    if "%" in text and ":" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ip_address(text)
    except ValueError:
        told = f'IP Address "{text}" parse error during conversion from string'
        raise EvaluationError(f'{told}: ParseAddr("{text}"): unable to parse IP') from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


@lru_cache(maxsize=1024)
def parse_cidr(text: str) -> Network:
    """A CIDR. Errors: EvaluationError, worded as Kubernetes' library."""
    address, slash, length = text.partition("/")
    valid = slash and length.isascii() and length.isdigit() and (length == "0" or length[0] != "0")
    try:
        parsed = parse_ip(address) if valid else None
    except EvaluationError as error:
        if "not allowed" in error.message:
            raise EvaluationError(
                error.message.replace("IP address", "CIDR").replace("IPv6 address", "IPv6 CIDR")
            ) from None
        parsed = None
    if parsed is None or int(length) > parsed.max_prefixlen:
        told = f'CIDR "{text}" parse error during conversion from string: network address parse error'
        reason = f'netip.ParsePrefix("{text}"): unable to parse IP'
        raise EvaluationError(f"{told} during conversion from string: {reason}")
    return Network(parsed, int(length))


def _is(parse: Any) -> Any:
    def run(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return run


def _contains_ip(network: Network, given: Any) -> bool:
    return network.contains(parse_ip(given) if isinstance(given, str) else given)


def _contains_cidr(network: Network, given: Any) -> bool:
    other = parse_cidr(given) if isinstance(given, str) else given
    return bool(network.length <= other.length and network.contains(other.network_address))


def _is_global_unicast(address: Address) -> bool:
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or broadcast
    )


def _is_link_local_multicast(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.packed[:3] == b"\xe0\x00\x00"
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


OVERLOADS: Final = (
    overload("ip(string): ip", parse_ip, costs.text()),
    overload("isIP(string): bool", _is(parse_ip), costs.text()),
    function("ip.isCanonical(string): bool", lambda text: str(parse_ip(text)) == text, costs.text(0, 2)),
    overload("string(ip): string", str),
    overload("ip.family(): int", lambda address: address.version),
    overload("ip.isUnspecified(): bool", lambda address: address.is_unspecified),
    overload("ip.isLoopback(): bool", lambda address: address.is_loopback),
    overload("ip.isLinkLocalMulticast(): bool", _is_link_local_multicast),
    overload("ip.isLinkLocalUnicast(): bool", lambda address: address.is_link_local),
    overload("ip.isGlobalUnicast(): bool", _is_global_unicast),
    overload("cidr(string): cidr", parse_cidr, costs.text()),
    overload("isCIDR(string): bool", _is(parse_cidr), costs.text()),
    overload("string(cidr): string", str),
    overload("cidr.containsIP(string): bool", _contains_ip, costs.containment),
    overload("cidr.containsIP(ip): bool", _contains_ip, costs.containment),
    overload("cidr.containsCIDR(string): bool", _contains_cidr, costs.containment),
    overload("cidr.containsCIDR(cidr): bool", _contains_cidr, costs.containment),
    overload("cidr.ip(): ip", lambda network: network.address),
    overload("cidr.masked(): cidr", lambda network: network.masked),
    overload("cidr.prefixLength(): int", lambda network: network.length),
)
