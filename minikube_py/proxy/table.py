"""The nft table as text: flat maps, the few rules that read them, and the script of a change.

The ruleset is flat. A packet is looked up once in `services` (address . protocol . port > a chain that picks
among N endpoints) and that chain looks up `endpoints` with a random number below N. The number of rules does
not grow with the number of Services, and a change is a few elements, applied atomically.

Maps and sets of the table, by their names here:

- services, endpoints: virtual addresses (cluster, external, load-balancer) and what they lead to
- node-services, node-endpoints: the same for node ports, on any local address; on loopback for the machine's
  own programs
- affine, node-affine, affinity, learners: ClientIP session affinity; a connection's mark names the service
  port, `affinity` remembers client and mark > endpoint once a connection has been made
- refused, node-refused: service ports without endpoints, which get a refusal instead of a timeout
- cluster-ips: every virtual address; ports that no Service has are refused too
- hairpin: every endpoint paired with itself; one that reaches itself through a Service must have its source
  rewritten
- firewalled, allowed: load-balancer addresses with source ranges, and those ranges; other packets are dropped
- hostports, hostports-at: hostPort of this node's pods (on any local address, or on one); on loopback for the
  machine's own programs, which needs route_localnet of the bridge
"""

from collections.abc import Iterator

from minikube_py.proxy.rules import Elements, ProxyConfig

MAPS = {
    "services": "typeof ip daddr . meta l4proto . th dport : verdict",
    "endpoints": "typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport",
    "node-services": "typeof meta l4proto . th dport : verdict",
    "node-endpoints": "typeof meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport",
    "affine": "typeof ip daddr . meta l4proto . th dport : ct mark",
    "node-affine": "typeof meta l4proto . th dport : ct mark",
    "learners": "typeof ct mark : verdict",
    "refused": "typeof ip daddr . meta l4proto . th dport : verdict",
    "node-refused": "typeof meta l4proto . th dport : verdict",
    "hostports": "typeof meta l4proto . th dport : ip daddr . th dport",
    "hostports-at": "typeof ip daddr . meta l4proto . th dport : ip daddr . th dport",
}
SETS = {
    "cluster-ips": "typeof ip daddr",
    "hairpin": "typeof ip saddr . ip daddr",
    "firewalled": "typeof ip daddr . meta l4proto . th dport",
    "allowed": "typeof ip daddr . meta l4proto . th dport . ip saddr\n    flags interval",
}


_L4 = "meta l4proto { tcp, udp, sctp }"
_DEST = "ip daddr . meta l4proto . th dport"
_PORT = "meta l4proto . th dport"


PICKERS = ("pick", "affine", "node-pick", "node-affine")
"""Kinds of chains that pick among N endpoints; one of each exists for every N up to the table's capacity."""


def base(config: ProxyConfig, capacity: int = 16) -> str:
    """The table without any element, as an nft script; loading it replaces an older one atomically.

    Chains that pick are made here for up to `capacity` endpoints, not when one is first needed: nft 1.0.6
    cannot add such a rule to a table that it has read back from the kernel."""
    table = f"ip {config.table}"
    maps = [f"map {name} {{\n    {type}\n  }}" for name, type in MAPS.items()]
    sets = [f"set {name} {{\n    {type}\n  }}" for name, type in SETS.items()]
    affinity = """map affinity {
    typeof ip saddr . ct mark : ip daddr . th dport
    flags dynamic,timeout
    size 262144
    timeout 3h
  }"""
    sizes = range(1, capacity + 1)
    pickers = [_chain(name, *chain_rules(name)) for name in (f"{kind}-{n}" for n in sizes for kind in PICKERS)]
    body = "\n  ".join([*maps, *sets, affinity, *pickers, *_chains(config)])
    return f"table {table}\ndelete table {table}\ntable {table} {{\n  {body}\n}}\n"


def _chains(config: ProxyConfig) -> Iterator[str]:
    local = "fib daddr type local ip daddr != 127.0.0.0/8"
    yield _chain("refuse", "meta l4proto tcp reject with tcp reset", "reject")
    yield _chain(
        "forwarding",
        f"{_L4} {_DEST} vmap @services",
        f"{local} {_L4} {_PORT} vmap @node-services",
        f"{_L4} dnat ip to {_DEST} map @hostports-at",
        f"{local} {_L4} dnat ip to {_PORT} map @hostports",
    )
    yield _chain(
        "refusing",
        f"{_L4} {_DEST} vmap @refused",
        f"{local} {_L4} {_PORT} vmap @node-refused",
        "ip daddr @cluster-ips goto refuse",
    )
    yield _hook("nat-prerouting", "nat", "prerouting", -100, "jump forwarding")
    # This machine's own programs find node and host ports on loopback too; pods find nothing of the machine's.
    loop = f"ip daddr 127.0.0.0/8 {_L4}"
    looped = (f"{loop} {_PORT} vmap @node-services", f"{loop} dnat ip to {_PORT} map @hostports")
    yield _hook("nat-output", "nat", "output", -100, "jump forwarding", *looped)
    drop = f'iifname "{config.bridge}" ip daddr 127.0.0.0/8 drop'
    yield _hook("filter-loopback", "filter", "prerouting", -300, drop)
    # Before the addresses are rewritten.
    for hook in ("prerouting", "output"):
        refused = f"{_L4} {_DEST} @firewalled {_DEST} . ip saddr != @allowed drop"
        yield _hook(f"firewall-{hook}", "filter", hook, -110, f"ct state new {refused}")
    # Before routing: a packet that the kernel would send back where it came from costs an ICMP redirect, which
    # pods would believe, and which uses up the rate of the refusal.
    for hook, priority in (("prerouting", -90), ("output", -1)):
        yield _hook(f"filter-{hook}", "filter", hook, priority, "ct state new jump refusing")
    pods = f"ip saddr {config.pod_cidr}"
    yield _hook(
        "nat-postrouting",
        "nat",
        "postrouting",
        90,
        "ct status dnat ct mark vmap @learners",
        "jump masquerading",
    )
    yield _chain(
        "masquerading",
        "ct status dnat ip saddr . ip daddr @hairpin masquerade",
        f'ct status dnat ip saddr 127.0.0.0/8 oifname "{config.bridge}" masquerade',
        f'{pods} ip daddr != {config.cluster_cidr} oifname != "{config.bridge}" masquerade',
        # Only to our endpoints: there may be other clusters on the machine, whose connections are theirs.
        f"ct status dnat ip daddr . ip daddr @hairpin fib saddr type != local"
        f' ip saddr != {config.cluster_cidr} oifname != "{config.bridge}" masquerade',
    )


def _chain(name: str, *rules: str) -> str:
    return f"chain {name} {{\n    " + "\n    ".join(rules) + "\n  }"


def _hook(name: str, type: str, hook: str, priority: int, *rules: str) -> str:
    return _chain(name, f"type {type} hook {hook} priority {priority}; policy accept;", *rules)


def chain_rules(chain: str) -> list[str]:
    """The rules of a chain that an element leads to, by its name: pick-3, node-affine-2, learn-10800, ..."""
    kind, _, number = chain.rpartition("-")
    if kind == "learn":
        return [f"{_L4} update @affinity {{ ip saddr . ct mark timeout {number}s : ip daddr . th dport }}"]
    prefix = "node-" if kind.startswith("node-") else ""
    key = _PORT if prefix else _DEST
    pick = f"{_L4} dnat ip to {key} . numgen random mod {number} map @{prefix}endpoints"
    if not kind.endswith("affine"):
        return [pick]
    return [
        f"ct mark set {key} map @{prefix}affine",
        f"{_L4} dnat ip to ip saddr . ct mark map @affinity",
        pick,
    ]


def learners_of(elements: Elements) -> set[str]:
    """The chains that remember session affinity, one for each timeout, that elements lead to."""
    leads = {data.removeprefix("goto ") for place, data in elements.items() if place.map == "learners"}
    return {chain for chain in leads if chain}


def capacity_of(elements: Elements) -> int:
    """The largest number of endpoints that an element picks among."""
    verdicts = (data for place, data in elements.items() if place.map in ("services", "node-services"))
    return max((int(verdict.rpartition("-")[2]) for verdict in verdicts), default=0)


def delta(table: str, old: Elements, new: Elements, known: set[str]) -> str:
    """The nft script that turns `old` elements into `new`; `known` learner
    chains exist. Empty where nothing changes."""
    fresh = {place: data for place, data in new.items() if old.get(place) != data}
    lines: list[str] = []
    for chain in sorted(learners_of(fresh) - known):
        lines.append(f"add chain ip {table} {chain}")
        lines += [f"add rule ip {table} {chain} {rule}" for rule in chain_rules(chain)]
    removed: dict[str, list[str]] = {}
    added: dict[str, list[str]] = {}
    for place, data in old.items():
        if new.get(place) != data:
            removed.setdefault(place.map, []).append(place.key)
    for place, data in fresh.items():
        added.setdefault(place.map, []).append(f"{place.key} : {data}" if data else place.key)
    for verb, changes in (("delete", removed), ("add", added)):
        for map, items in changes.items():
            lines.append(f"{verb} element ip {table} {map} {{ {', '.join(items)} }}")
    return "\n".join(lines) + "\n" if lines else ""
