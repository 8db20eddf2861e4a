"""News of the kernel, also after more of it than was kept."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from minikube_py.aio.netlink import KernelNews, Subject

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2"
)
NUMBER = os.getpid() % 10_000
LINKS = Subject(socket.NETLINK_ROUTE, groups=1, buffer=1)
"""News of interfaces, with the smallest buffer that the kernel grants."""


def change(times: int) -> None:
    """Make and delete an interface, without the loop's turning."""
    pair = [f"link add mkpyk{NUMBER} type veth peer name mkpyl{NUMBER}", f"link delete mkpyk{NUMBER}"]
    batch = "\n".join(pair * times) + "\n"
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True, timeout=15)


async def flood() -> None:
    """Lose news, and hear what comes after the loss, twice."""
    told: asyncio.Queue[str] = asyncio.Queue()
    news = KernelNews(LINKS, lambda data: told.put_nowait("heard"), lambda: told.put_nowait("missed"))
    news.open()
    try:
        for _ in range(2):
            change(times=10)
            while await told.get() != "missed":
                pass
            while not told.empty():
                told.get_nowait()
            change(times=1)
            assert await told.get() in ("heard", "missed")
    finally:
        news.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_comes_after_a_loss_is_heard(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """On either loop the news goes on after the kernel had to drop some."""
    run(asyncio.wait_for(flood(), 15))
