"""The node's bridge: made before anything binds to its address, removed with what hangs on it.

The bridge's address is the pods' gateway and the node's InternalIP. Packets between two pods of the bridge
pass the IP hooks too (nf_call_iptables of this bridge alone), or the answers of a Service's pod to another pod
would bypass the rewriting of their address. Packets from loopback may leave by it (route_localnet), for
hostPorts that the machine's own programs call there; kube-proxy's rules let none come in that way.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio import process

NET = Path("/sys/class/net")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SETTINGS = Path("/proc/sys/net/ipv4/conf")
IFF_UP = 0x1  # of netdevice(7)
BRIDGE_FILTER = Path("/proc/sys/net/bridge")


class NetworkFailed(Exception):
    """The bridge could not be made; the message says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge `name` with `address` (such as 10.244.0.1/24). Packets to `services` (the networks of Services'
    addresses) are routed there, so that they reach the rules that forward them even on a machine without a
    default route."""

    name: str
    address: str
    services: tuple[str, ...] = ()

    async def ensure(self) -> None:
        """Make it, or complete what is missing of it. Errors: NetworkFailed."""
        if self._is_something_else():
            raise NetworkFailed(f"the network interface {self.name} exists and is no bridge")
        if not _filters_bridges():
            with contextlib.suppress(OSError, process.CommandFailed):  # a kernel may have it built in, or not
                await process.run(["modprobe", "br_netfilter"])
        own = hashlib.blake2s(self.address.encode(), digest_size=4).digest()
        hardware = f"0a:58:{own.hex(':')}"  # the same each time, as pods remember their gateway's
        made = "set" if self.exists() else "add"
        batch = [
            f"link {made} {self.name} address {hardware} type bridge",
            f"address replace {self.address} dev {self.name}",
            f"link set {self.name} up",
        ]
        source = self.address.partition("/")[0]
        batch += [f"route replace {network} dev {self.name} src {source}" for network in self.services]
        try:
            await process.run(["ip", "-batch", "-"], input="\n".join(batch) + "\n")
        except process.CommandFailed as error:
            raise NetworkFailed(f"cannot make the bridge {self.name}: {error.stderr.strip()}") from error
        try:
            self._let_forward()
        except OSError as error:
            raise NetworkFailed(f"cannot let {self.name} forward packets: {error}") from error

    async def attach(self, interfaces: Sequence[str]) -> None:
        """Put interfaces on it, in the way of CNI's bridge plugin; one that has gone meanwhile is fine."""
        batch = "".join(
            f"link set {name} master {self.name} up\nlink set {name} type bridge_slave hairpin on\n"
            for name in interfaces
        )
        await process.run(["ip", "-force", "-batch", "-"], input=batch, check=False)

    def is_up(self) -> bool:
        """Whether it is there and up."""
        try:
            return bool(int((NET / self.name / "flags").read_text(), 16) & IFF_UP)
        except OSError:
            return False

    def index(self) -> int | None:
        """The kernel's number of the interface, another each time it is made; None where it is missing."""
        try:
            return int((NET / self.name / "ifindex").read_text())
        except OSError:
            return None

    def exists(self) -> bool:
        """Whether there is an interface of this name."""
        return (NET / self.name).exists()

    def _is_something_else(self) -> bool:
        return self.exists() and not (NET / self.name / "bridge").exists()

    def _let_forward(self) -> None:
        if FORWARDING.read_text().strip() != "1":
            FORWARDING.write_text("1")
        (SETTINGS / self.name / "route_localnet").write_text("1")
        if _filters_bridges():
            (NET / self.name / "bridge" / "nf_call_iptables").write_text("1")

    def _interfaces(self) -> list[str]:
        """What is to be removed: the interfaces on the bridge, and itself."""
        ports = NET / self.name / "brif"
        names = sorted(path.name for path in ports.iterdir()) if ports.exists() else []
        return [*names, self.name] if self.exists() and not self._is_something_else() else names

    async def remove(self) -> None:
        """Remove it with the pods' interfaces on it; one that is gone already is fine."""
        if names := self._interfaces():
            batch = "".join(f"link delete {name}\n" for name in names)
            # -force: a pod's interface may go by itself meanwhile
            await process.run(["ip", "-force", "-batch", "-"], input=batch, check=False)
        if self._interfaces():
            raise NetworkFailed(f"cannot remove the bridge {self.name}")


def _filters_bridges() -> bool:
    return BRIDGE_FILTER.exists()
