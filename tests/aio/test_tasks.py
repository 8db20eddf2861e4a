"""Owned tasks: one failure ends no sibling, and leaving the block ends all."""

import asyncio

import pytest

from minikube_py.aio.tasks import Tasks


async def test_a_failure_is_logged_and_ends_no_sibling(caplog: pytest.LogCaptureFixture) -> None:
    """A task that fails says so under its name; the others go on."""
    gate = asyncio.Event()

    async def fails() -> None:
        raise ValueError("broken")

    async with Tasks("owner") as tasks:
        tasks.spawn(fails(), "bad")
        good = tasks.spawn(gate.wait(), "good")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [record.message for record in caplog.records] == ["owner/bad failed: broken"]
        gate.set()
        assert await good is True


async def test_leaving_the_block_ends_every_task() -> None:
    """Tasks that still run are cancelled and awaited, those spawned by a dying one too."""
    ended = []

    async def stubborn(tasks: Tasks) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.spawn(asyncio.Event().wait(), "late")
            ended.append("stubborn")

    async with Tasks("owner") as tasks:
        tasks.spawn(stubborn(tasks), "stubborn")
        await asyncio.sleep(0)
    assert ended == ["stubborn"]
    assert len(tasks) == 0
