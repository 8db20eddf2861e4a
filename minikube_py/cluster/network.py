"""The node's bridge: made before anything binds to its address, removed with what hangs on it.

The bridge's address is the pods' gateway and the node's InternalIP. Packets between two pods of the bridge
pass the IP hooks too (nf_call_iptables of this bridge alone), or the answers of a Service's pod to another pod
would bypass the rewriting of their address.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from minikube_py.aio import process

NET = Path("/sys/class/net")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
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
        made = [] if self.exists() else [f"link add {self.name} type bridge"]
        batch = [*made, f"address replace {self.address} dev {self.name}", f"link set {self.name} up"]
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

    def exists(self) -> bool:
        """Whether there is an interface of this name."""
        return (NET / self.name).exists()

    def _is_something_else(self) -> bool:
        return self.exists() and not (NET / self.name / "bridge").exists()

    def _let_forward(self) -> None:
        if FORWARDING.read_text().strip() != "1":
            FORWARDING.write_text("1")
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
