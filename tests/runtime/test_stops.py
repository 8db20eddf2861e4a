"""Which containers are just being stopped, for whoever hears of their ends."""

import asyncio

import pytest

from minikube_py.runtime.stops import Stops


async def test_an_end_is_known_once_the_call_returns() -> None:
    """Whoever waits for a stop goes on when its call has ended, and learns that it went well."""
    stops = Stops()
    with stops.under_way("one"):
        waiting = asyncio.create_task(stops.over("one"))
        await asyncio.sleep(0)
        assert (waiting.done(), await stops.over("other")) == (False, False)
    assert await waiting
    assert not await stops.over("one")


async def test_a_call_that_fails_tells_nothing() -> None:
    """After a stop that has failed the runtime is to be asked; a second call that goes well counts."""
    stops = Stops()
    with pytest.raises(TimeoutError), stops.under_way("one"):
        waiting = asyncio.create_task(stops.over("one"))
        await asyncio.sleep(0)
        raise TimeoutError
    assert not await waiting
