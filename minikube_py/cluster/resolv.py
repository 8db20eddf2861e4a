"""Which of the machine's resolv.conf pods with dnsPolicy Default get, and take their search domains from.

Where systemd-resolved serves the machine, /etc/resolv.conf names its stub on loopback, which no pod can reach;
the file with the servers behind it is the one to take, as kubeadm tells its kubelets.
"""

import ipaddress
from pathlib import Path

USUAL = Path("/etc/resolv.conf")
UPLINK = Path("/run/systemd/resolve/resolv.conf")


def resolv_conf(usual: Path = USUAL, uplink: Path = UPLINK) -> Path:
    """`uplink` where `usual` names but loopback addresses and the other is there, else `usual`. Blocking."""
    try:
        servers = [words[1] for words in map(str.split, usual.read_text().splitlines()) if _names_server(words)]
    except OSError:
        return usual
    return uplink if servers and all(map(_is_loopback, servers)) and uplink.exists() else usual


def _names_server(words: list[str]) -> bool:
    return len(words) > 1 and words[0] == "nameserver"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
