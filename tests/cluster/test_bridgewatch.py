"""The bridge comes back by itself, with the pods' interfaces on it."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minikube_py.aio.process import run
from minikube_py.aio.tasks import Tasks
from minikube_py.cluster.bridgewatch import BridgeWatch
from minikube_py.cluster.network import Bridge

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"
)
NUMBER = os.getpid() % 10_000
NEAR, FAR = f"mkpyb{NUMBER}", f"mkpyf{NUMBER}"
NET = Path("/sys/class/net")


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[BridgeWatch]:
    """The watch over a bridge that is not there yet, with one pod's interface that is on none."""
    bridge = Bridge(f"mkpyw{NUMBER}", "10.231.78.1/24")
    await run(["ip", "link", "add", NEAR, "type", "veth", "peer", "name", FAR])
    faces = [{"name": bridge.name}, {"name": NEAR}, {"name": "eth0", "sandbox": str(tmp_path / "c" / "netns")}]
    answer = {"interfaces": faces, "ips": [{"interface": 2, "address": "10.231.78.2/24"}]}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a").write_text(json.dumps({"containerId": "a", "result": answer}))
    yield BridgeWatch(bridge, tmp_path / "c", tmp_path / "results")
    for name in (bridge.name, NEAR):
        await run(["ip", "link", "delete", name], check=False)


def master(name: str) -> str:
    """The bridge that an interface is on."""
    link = NET / name / "master"
    return link.resolve().name if link.exists() else ""


def is_back() -> bool:
    """Whether the pod's interface is on a bridge, set as CNI's plugin does."""
    hairpin = NET / NEAR / "brport" / "hairpin_mode"
    return master(NEAR) != "" and hairpin.read_text().strip() == "1"


async def test_a_lost_bridge_is_made_again(watch: BridgeWatch) -> None:
    """Deleted by hand, the bridge comes back as it was, and takes the pods' interfaces again."""
    name = f"mkpyw{NUMBER}"
    async with Tasks("test") as tasks:
        ready = asyncio.Event()
        watching = tasks.spawn(watch.run(ready), "watch")
        await ready.wait()
        assert master(NEAR) == name
        hardware = (NET / name / "address").read_text()
        await run(["ip", "link", "delete", name])
        while not is_back():  # the test's time limit is the limit
            await asyncio.wait((watching,), timeout=0.02)
        assert (NET / name / "address").read_text() == hardware
        assert "10.231.78.1/24" in (await run(["ip", "-4", "address", "show", "dev", name])).stdout


async def test_a_bridge_that_another_made(watch: BridgeWatch) -> None:
    """Made again by somebody else before the watch did, it gets its addresses and the interfaces."""
    name = f"mkpyw{NUMBER}"
    await watch.mend()
    hardware = (NET / name / "address").read_text()
    await run(["ip", "link", "delete", name])
    await run(["ip", "link", "add", name, "type", "bridge"])
    await run(["ip", "link", "set", name, "up"])
    assert await watch.mend() == [NEAR]
    assert (NET / name / "address").read_text() == hardware
    assert "10.231.78.1/24" in (await run(["ip", "-4", "address", "show", "dev", name])).stdout


async def test_nothing_to_mend(watch: BridgeWatch) -> None:
    """A second look finds every interface in its place."""
    assert await watch.mend() == [NEAR]
    assert await watch.mend() == []
