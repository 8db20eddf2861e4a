"""Stores of both kinds, opened and closed around a test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from minikube_py.store.memory import MemoryStore
from minikube_py.store.sqlite import SqliteStore

AnyStore = MemoryStore | SqliteStore
Open = Callable[..., Awaitable[AnyStore]]


@pytest.fixture(params=["memory", "sqlite"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a store of each implementation with the keywords given; closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_one(**settings: Any) -> AnyStore:
            if request.param == "memory":
                store: AnyStore = MemoryStore(**settings)
            else:
                store = await SqliteStore.open(tmp_path / "state.db", **settings)
            stack.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(open_store: Open) -> AnyStore:
    """An empty store of each implementation."""
    return await open_store()
