"""Sampler: asks every node's kubelet what it uses, every 15 seconds, as long as somebody wants to know.

The first who asks waits a second, for two samples. After two minutes without a question it stops and forgets:
an idle cluster measures nothing. A node that does not answer is left out until it does.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.resourcemetrics.samples import Pair, parse

log = logging.getLogger(__name__)

RESOLUTION = 15.0
BEGINNING = 1.0
IDLE = 120.0
SOONEST = 3.0

Ask = Callable[[str], Awaitable[str]]
"""The text of /metrics/resource of a node; raises what the connection raises."""


class Sampler:
    """See the module. `nodes` gives the names of all nodes, `failures` what `ask` may raise."""

    def __init__(
        self,
        nodes: Callable[[], Iterable[str]],
        ask: Ask,
        clock: Clock,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._nodes, self._ask, self._clock, self._failures = nodes, ask, clock, failures
        self._pairs: dict[str, Pair] = {}
        self._tasks = Tasks("resource-metrics")
        self._begun = asyncio.Event()
        self._asked = self._sampled = 0.0
        self._running: asyncio.Task[None] | None = None

    async def current(self) -> dict[str, Pair]:
        """The last two samples of every node that answers, by name."""
        self._asked = self._clock.monotonic()
        if self._running is None or self._running.done():
            self._begun.clear()
            self._running = self._tasks.spawn(self._run(), "sampler")
        await self._begun.wait()
        return self._pairs

    async def refreshed(self) -> dict[str, Pair]:
        """As `current`, after one more sample, unless the last one is too fresh: something has just begun."""
        if self._begun.is_set() and self._clock.monotonic() - self._sampled >= SOONEST:
            await self._sample()
        return await self.current()

    async def _run(self) -> None:
        try:
            await self._sample()
            await self._clock.sleep(BEGINNING)
            await self._sample()
            self._begun.set()
            while self._clock.monotonic() - self._asked < IDLE:
                await self._clock.sleep(RESOLUTION)
                await self._sample()
        finally:
            self._pairs = {}
            self._begun.set()

    async def _sample(self) -> None:
        """One sample of every node."""
        self._sampled = self._clock.monotonic()
        names = list(self._nodes())
        found = await asyncio.gather(*(self._of(name) for name in names))
        self._pairs = {name: pair for name, pair in zip(names, found, strict=True) if pair is not None}

    async def _of(self, name: str) -> Pair | None:
        try:
            text = await self._ask(name)
        except self._failures as error:
            log.debug("node %s does not tell what it uses: %s", name, error)
            return None
        return self._pairs.get(name, Pair()).then(parse(text, self._clock.now().timestamp()))

    async def close(self) -> None:
        """Stop sampling."""
        await self._tasks.cancel()
