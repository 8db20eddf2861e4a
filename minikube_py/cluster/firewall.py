"""Firewalls of this machine that drop what pods send, told with the command that lets it pass.

A drop in any base chain of netfilter is final: no rule of ours can undo it, and other programs' tables are not
ours to change. Docker makes the policy of `filter FORWARD` drop; firewalld refuses what comes in from an
interface of no trusted zone. A chain that names the bridge or the pods' addresses counts as taken care of.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minikube_py.aio import process

Entry = Mapping[str, Any]
"""One entry of what `nft -j list ruleset` prints: a chain, a rule, ..."""


async def hindrances(bridge: str, pod_cidr: str) -> list[str]:
    """What stands in the way of the pods on `bridge`, and what mends it; empty where nothing does, or where nft
    cannot tell."""
    try:
        told = await process.run(("nft", "-j", "list", "ruleset"), check=False)
        entries = json.loads(told.stdout or "{}").get("nftables", [])
    except (FileNotFoundError, TimeoutError, ValueError):
        return []
    return list(hindering(entries, bridge, pod_cidr))


def hindering(entries: Sequence[Entry], bridge: str, pod_cidr: str) -> Iterator[str]:
    """The same of a ruleset. Pure."""
    tables = {(e["table"]["family"], e["table"]["name"]) for e in entries if "table" in e}
    chains = [e["chain"] for e in entries if "chain" in e]
    if ("inet", "firewalld") in tables and not _mentions(entries, "firewalld", bridge, pod_cidr):
        command = f"firewall-cmd --permanent --zone=trusted --add-source={pod_cidr} && firewall-cmd --reload"
        yield f"firewalld refuses what pods send to this machine; let it pass: {command}"
    for chain in chains:
        dropping = chain.get("hook") == "forward" and chain.get("policy") == "drop"
        if dropping and not _mentions(entries, chain["table"], bridge, pod_cidr):
            yield _forwarding(chain, any(other["name"] == "DOCKER-USER" for other in chains), bridge)


def _forwarding(chain: Entry, docker: bool, bridge: str) -> str:
    place = f"{chain['family']} {chain['table']} {chain['name']}"
    if chain["family"] == "ip" and chain["table"] == "filter":
        into = "DOCKER-USER" if docker else chain["name"]
        commands = [f"iptables -I {into} -{way} {bridge} -j ACCEPT" for way in "io"]
    else:
        commands = [f"nft insert rule {place} {way}name {bridge} accept" for way in ("iif", "oif")]
    return f"the firewall drops what pods send ({place}); let it pass: {' && '.join(commands)}"


def _mentions(entries: Sequence[Entry], table: str, bridge: str, pod_cidr: str) -> bool:
    words = (f'"{bridge}"', f'"{pod_cidr.partition("/")[0]}"')
    for entry in entries:
        found = entry.get("rule") or entry.get("set") or {}
        if found.get("table") == table and any(word in json.dumps(found) for word in words):
            return True
    return False
