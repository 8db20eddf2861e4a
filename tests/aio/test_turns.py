"""Turns: long work lets the loop turn, short work does not."""

import asyncio

from minikube_py.aio.turns import TURN_SECONDS, Turns


async def turned_within(seconds: float) -> bool:
    """Whether others had their turn in work that takes so long before its pause."""
    ran: list[bool] = []
    loop = asyncio.get_running_loop()
    turns = Turns()
    loop.call_soon(ran.append, True)
    until = loop.time() + seconds
    while loop.time() < until:
        pass
    await turns.pause()
    return bool(ran)


async def test_others_run_once_the_work_is_long() -> None:
    """A pause lets the loop turn after TURN_SECONDS of work."""
    assert await turned_within(TURN_SECONDS)


async def test_a_pause_at_once_is_none() -> None:
    """Work that has just begun goes on."""
    assert not await turned_within(0.0)
