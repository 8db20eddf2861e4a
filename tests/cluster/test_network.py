"""The bridge is made once, completed where something is missing, and removed with what hangs on it."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minikube_py.aio.process import run
from minikube_py.cluster.network import Bridge, NetworkFailed

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"
)
NUMBER = os.getpid() % 10_000


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    """A bridge that is not there yet; removed after the test."""
    bridge = Bridge(f"mkpyn{NUMBER}", "10.231.77.1/24")
    yield bridge
    await run(["ip", "link", "delete", bridge.name], check=False)


async def addresses(name: str) -> list[str]:
    """The IPv4 addresses of an interface."""
    words = (await run(["ip", "-4", "-o", "address", "show", "dev", name])).stdout.split()
    return [words[i + 1] for i, word in enumerate(words) if word == "inet"]


async def test_a_bridge_is_made_and_kept(bridge: Bridge) -> None:
    """It is up with its address and passes the IP hooks; making it again changes nothing."""
    await bridge.ensure()
    index = Path(f"/sys/class/net/{bridge.name}/ifindex").read_text()
    await bridge.ensure()
    assert Path(f"/sys/class/net/{bridge.name}/ifindex").read_text() == index
    assert await addresses(bridge.name) == ["10.231.77.1/24"]
    assert Path(f"/sys/class/net/{bridge.name}/bridge/nf_call_iptables").read_text().strip() == "1"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    assert Path(f"/proc/sys/net/ipv4/conf/{bridge.name}/route_localnet").read_text().strip() == "1"


async def test_what_is_missing_is_completed(bridge: Bridge) -> None:
    """A bridge without address, left by a start that was cut off, is completed."""
    await run(["ip", "link", "add", bridge.name, "type", "bridge"])
    await bridge.ensure()
    assert await addresses(bridge.name) == ["10.231.77.1/24"]


async def test_a_bridge_goes_with_its_interfaces(bridge: Bridge) -> None:
    """Pods' interfaces on it go too; removing it again is fine."""
    await bridge.ensure()
    await run(["ip", "link", "add", f"mkpyv{NUMBER}", "type", "veth", "peer", "name", f"mkpyw{NUMBER}"])
    await run(["ip", "link", "set", f"mkpyv{NUMBER}", "master", bridge.name])
    await bridge.remove()
    assert [name for name in os.listdir("/sys/class/net") if name.endswith(str(NUMBER))] == []
    await bridge.remove()


async def test_an_interface_of_another_kind_is_left_alone(bridge: Bridge) -> None:
    """An interface of that name that is no bridge is neither used nor removed."""
    await run(["ip", "link", "add", bridge.name, "type", "veth", "peer", "name", f"mkpyw{NUMBER}"])
    with pytest.raises(NetworkFailed, match="is no bridge"):
        await bridge.ensure()
    await bridge.remove()
    assert bridge.exists()


async def test_a_refused_address_is_told() -> None:
    """ip's own words are in the error."""
    bridge = Bridge(f"mkpyx{NUMBER}", "not-an-address")
    with pytest.raises(NetworkFailed, match="not-an-address"):
        await bridge.ensure()
    await bridge.remove()
