"""kube-proxy: 1,000 Services with 3 endpoints each into the kernel, and the change of one of them.

Ours is a flat table of maps; the rival, made here and loaded in the same run, is the usual layout: a chain
for each Service and each endpoint behind one verdict map. Both are nft scripts given to `nft -f -`, in a
network namespace of this process's own. A delta replaces one endpoint of one Service, with all the others
loaded. What `nft` takes to do nothing is told too: it is the floor of both.
"""

import asyncio
import ctypes
import os
import shutil
import statistics
import time
from collections.abc import Awaitable

from minikube_py.aio import process
from minikube_py.meta.objects import Obj
from minikube_py.proxy.nftables import Nftables
from minikube_py.proxy.rules import Place, ProxyConfig, service_elements
from minikube_py.proxy.tablewatch import TableWatch

SERVICES, ENDPOINTS = 1000, 3
LOADS, DELTAS = 3, 15
CLONE_NEWNET = 0x40000000
RIVAL = "rival"


def address(number: int) -> str:
    """The ClusterIP of a Service."""
    return f"10.96.{number >> 8}.{number & 255}"


def backends(number: int, change: int = 0) -> list[str]:
    """The addresses of a Service's endpoints; `change` replaces the last."""
    found = [
        f"10.244.{(number * ENDPOINTS + n) >> 8 & 255}.{number * ENDPOINTS + n & 255}" for n in range(ENDPOINTS)
    ]
    return [*found[:-1], f"10.245.{number >> 8}.{change}"] if change else found


def elements(number: int, change: int = 0) -> dict[Place, str]:
    """Our elements of one Service."""
    service: Obj = {"spec": {"clusterIP": address(number), "ports": [{"port": 80, "protocol": "TCP"}]}}
    slice: Obj = {
        "ports": [{"port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in backends(number, change)],
    }
    return service_elements(service, [slice], "node", 0)


def endpoint_chain(ip: str) -> str:
    return f"ep-{ip.replace('.', '-')}"


def rival_endpoint(ip: str) -> list[str]:
    """A chain that leads to one endpoint."""
    chain = f"ip {RIVAL} {endpoint_chain(ip)}"
    return [
        f"add chain {chain}",
        f"add rule {chain} ip saddr {ip} mark set mark or 0x4000",
        f"add rule {chain} meta l4proto tcp dnat to {ip}:8080",
    ]


def rival_pick(number: int, ips: list[str]) -> str:
    """The rule of a Service's chain."""
    verdicts = ", ".join(f"{n} : goto {endpoint_chain(ip)}" for n, ip in enumerate(ips))
    return f"add rule ip {RIVAL} svc-{number} numgen random mod {len(ips)} vmap {{ {verdicts} }}"


def rival_load() -> str:
    """The whole table of the rival."""
    lines = [f"add table ip {RIVAL}", f"delete table ip {RIVAL}", f"add table ip {RIVAL}"]
    lines.append(f"add map ip {RIVAL} services {{ type ipv4_addr . inet_proto . inet_service : verdict ; }}")
    for hook in ("prerouting", "output"):
        lines.append(f"add chain ip {RIVAL} {hook} {{ type nat hook {hook} priority -100 ; }}")
        key = "ip daddr . meta l4proto . th dport"
        lines.append(f"add rule ip {RIVAL} {hook} {key} vmap @services")
    for number in range(SERVICES):
        for ip in backends(number):
            lines += rival_endpoint(ip)
        lines.append(f"add chain ip {RIVAL} svc-{number}")
        lines.append(rival_pick(number, backends(number)))
        lines.append(f"add element ip {RIVAL} services {{ {address(number)} . tcp . 80 : goto svc-{number} }}")
    return "\n".join(lines) + "\n"


def rival_delta(number: int, old: int, new: int) -> str:
    """Replace the last endpoint of a Service: a new chain, the pick anew, the old chain away."""
    gone, ips = backends(number, old)[-1], backends(number, new)
    return "\n".join(
        [
            *rival_endpoint(ips[-1]),
            f"flush chain ip {RIVAL} svc-{number}",
            rival_pick(number, ips),
            f"flush chain ip {RIVAL} {endpoint_chain(gone)}",
            f"delete chain ip {RIVAL} {endpoint_chain(gone)}\n",
        ]
    )


async def nft(script: str) -> None:
    """Hand a script to the kernel."""
    await process.run(("nft", "-f", "-"), input=script)


async def seconds(work: Awaitable[None]) -> float:
    """How long `work` takes."""
    begin = time.perf_counter()
    await work
    return time.perf_counter() - begin


async def measure() -> dict[str, dict[str, list[float]]]:
    """Seconds of each figure, of ours, the rival and nft alone, in turns."""
    ours = Nftables(ProxyConfig("node", table="ours"), TableWatch("ours", lambda: None))
    found: dict[str, dict[str, list[float]]] = {}

    def note(figure: str, name: str, spent: float) -> None:
        found.setdefault(figure, {}).setdefault(name, []).append(spent)

    whole: dict[Place, str] = {}
    for _ in range(LOADS):
        begin = time.perf_counter()
        whole = {place: data for n in range(SERVICES) for place, data in elements(n).items()}
        note("rules computed", "ours", time.perf_counter() - begin)
        note("all loaded", "ours", await seconds(ours.replace(whole)))
        note("all loaded", "rival", await seconds(nft(rival_load())))
    for round in range(DELTAS):
        number, new = round * 7, round + 1
        changes: dict[Place, str | None] = dict.fromkeys(elements(number))
        changes |= elements(number, new)
        note("one Service changed", "ours", await seconds(ours.update(changes)))
        note("one Service changed", "rival", await seconds(nft(rival_delta(number, 0, new))))
        note("one Service changed", "nft alone", await seconds(nft("")))
    return found


def main() -> None:
    """Measure in a network namespace of our own and print the table."""
    if os.geteuid() != 0 or not shutil.which("nft"):
        print("left out: it needs root and nft")
        return
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")
    found = asyncio.run(measure())
    print(f"{SERVICES} Services, {ENDPOINTS} endpoints each; ms, medians")
    print("| | ours | a chain per endpoint | ratio | nft alone |")
    print("|---|---|---|---|---|")
    for figure, sides in found.items():
        ms = {name: statistics.median(spent) * 1000 for name, spent in sides.items()}
        rival = f"{ms['rival']:.0f} | {ms['ours'] / ms['rival']:.2f}" if "rival" in ms else "- | -"
        alone = f"{ms['nft alone']:.0f}" if "nft alone" in ms else "-"
        print(f"| {figure} | {ms['ours']:.0f} | {rival} | {alone} |")


if __name__ == "__main__":
    main()
