"""What holds for every test: no task is left behind, and nothing blocks the event loop."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minikube_py import collect

MAX_BLOCKED = 0.25
"""Seconds of CPU that one callback may take. Wall time would blame a busy machine on the test."""


@pytest.fixture(autouse=True, scope="session")
def what_pytest_holds_is_not_collected() -> None:
    """Keep pytest's own thousands of objects out of collections that tests would be blamed for, and the kinds'
    modules, which would else be imported within the first test's loop."""
    collect.modules("minikube_py.kinds")
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def loop_is_never_blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which one callback keeps the event loop for long; the garbage of earlier tests, collected
    meanwhile, does not count."""
    slow: list[str] = []
    collecting = [0.0]
    run = asyncio.Handle._run  # type: ignore[attr-defined]

    def collection(phase: str, _: dict[str, int]) -> None:
        if threading.current_thread() is threading.main_thread():  # another thread's clock tells another time
            collecting[0] += time.thread_time() * (1 if phase == "stop" else -1)

    def timed(handle: Any) -> Any:
        begin = time.thread_time() - collecting[0]
        result = run(handle)
        if (taken := time.thread_time() - collecting[0] - begin) > MAX_BLOCKED:
            slow.append(f"{taken:.3f} s in {handle!r}")
        return result

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    gc.callbacks.append(collection)
    yield
    gc.callbacks.remove(collection)
    assert slow == []


@pytest.fixture(autouse=True)
async def no_task_is_left() -> Any:
    """Fail a test that leaves a task running."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    known = before | {asyncio.current_task()}
    left = [task for task in asyncio.all_tasks() - known if not task.done()]
    assert [task.get_name() for task in left] == []
