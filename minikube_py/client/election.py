"""Leader election by a Lease: of several equal processes one works, the others wait for it to fall silent.

After client-go's leader election: the holder renews the Lease every `retry` seconds and gives up, with an
error, once it could not for `renew` seconds; another takes the Lease over when it has not seen it change for
`duration` seconds of its own clock, so that clocks need not agree. A holder that comes back under its own
identity goes on at once. Limits: it does not fence: work under way when it is lost may end a moment later.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from minikube_py.aio.clock import Clock, within
from minikube_py.aio.metrics import Counter
from minikube_py.aio.tasks import Tasks
from minikube_py.client.base import Client
from minikube_py.client.events import EventRecorder
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.meta.objects import Key, Obj, dig, micro_timestamp

log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The Lease could not be renewed in time, or somebody else has it."""


class Led(Protocol):
    """What only the leader runs."""

    name: str

    async def run(self, ready: asyncio.Event) -> None:
        """Work until cancelled; set `ready` once others may rely on it."""


@dataclass(frozen=True, slots=True)
class ElectionConfig:
    """Who stands for which Lease. Seconds as Kubernetes' --leader-elect-lease-duration, -renew-deadline and
    -retry-period."""

    lease: str
    identity: str
    namespace: str = "kube-system"
    duration: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


class Elected:
    """A Service that runs `led` while it holds the Lease. It is ready when its `led` is, or when it waits."""

    def __init__(self, led: Led, client: Client, clock: Clock, config: ElectionConfig) -> None:
        self.name = led.name
        self._led, self._client, self._clock, self._config = led, client, clock, config
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0
        self.is_leader = False

    async def run(self, ready: asyncio.Event) -> None:
        """Wait for the Lease, run what is led, and renew. Errors: LeadershipLost, and those of what is led."""
        try:
            async with EventRecorder(self._client, self._clock, self._config.identity) as events:
                while not await self._try():
                    ready.set()
                    await self._clock.sleep(self._config.retry)
                self.is_leader = True
                log.info("%s: %s became leader", self._config.lease, self._config.identity)
                self._tell(events)
                await self._lead(ready)
        finally:
            self.is_leader = False

    async def _lead(self, ready: asyncio.Event) -> None:
        async with Tasks(f"{self.name}/election") as tasks:
            work = tasks.spawn(self._led.run(ready), "led")
            renewal = tasks.spawn(self._renew(), "renew")
            done, _ = await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        raise LeadershipLost(f"{self.name} ended by itself")

    async def _renew(self) -> None:
        """Renew until that fails for too long."""
        deadline = self._clock.monotonic() + self._config.renew
        while True:
            await self._clock.sleep(self._config.retry)
            left = deadline - self._clock.monotonic()
            try:
                held = left > 0 and await within(self._clock, left, self._try())
            except TimeoutError:
                held = False
            if held:
                deadline = self._clock.monotonic() + self._config.renew
            elif self._clock.monotonic() >= deadline or self._holder() not in ("", self._config.identity):
                raise LeadershipLost(f"{self._config.identity} lost the lease {self._config.lease}")

    def _holder(self) -> str:
        return str(self._seen[0]) if self._seen else ""

    async def _try(self) -> bool:
        """Take or renew the Lease, if it may be; whether it is ours now."""
        try:
            try:
                lease = await self._client.get(Lease, self._config.lease, self._config.namespace)
            except NotFound:
                await self._client.create(Lease, self._new())
                self._note(self._config.identity, None)
                return True
            spec = lease.get("spec") or {}
            sign = (spec.get("holderIdentity") or "", spec.get("renewTime"))
            if sign != self._seen:
                self._note(*sign)
            if self._is_anothers(spec):
                return False
            stored = await self._client.update(Lease, {**lease, "spec": self._claimed(spec)})
            self._note(self._config.identity, dig(stored, "spec.renewTime"))
            return True
        except (Conflict, AlreadyExists):  # somebody else was faster
            return False
        except ApiError as error:
            log.warning("%s: the lease cannot be renewed: %s", self._config.lease, error)
            return False

    def _note(self, *sign: object) -> None:
        self._seen, self._seen_at = sign, self._clock.monotonic()

    def _is_anothers(self, spec: Obj) -> bool:
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._config.identity):
            return False
        valid = float(spec.get("leaseDurationSeconds") or self._config.duration)
        return self._clock.monotonic() < self._seen_at + valid

    def _new(self) -> Obj:
        return {
            "apiVersion": Lease.api_version,
            "kind": Lease.kind,
            "metadata": {"name": self._config.lease, "namespace": self._config.namespace},
            "spec": self._claimed({}),
        }

    def _claimed(self, spec: Obj) -> Obj:
        """The spec of a Lease that is ours from now on, or still."""
        now = micro_timestamp(self._clock.now())
        mine = spec.get("holderIdentity") == self._config.identity
        changes = int(spec.get("leaseTransitions") or 0) + (0 if mine or not spec else 1)
        since = spec.get("acquireTime") if mine else None
        return {
            **spec,
            "holderIdentity": self._config.identity,
            "leaseDurationSeconds": int(self._config.duration),
            "acquireTime": since or now,
            "renewTime": now,
            "leaseTransitions": changes,
        }

    def _tell(self, events: EventRecorder) -> None:
        lease = self._client.cache.get(Lease, Key(self._config.namespace, self._config.lease))
        if lease is not None:
            about = {"apiVersion": Lease.api_version, "kind": Lease.kind, **lease}
            events.record(about, "Normal", "LeaderElection", f"{self._config.identity} became leader")

    def lines(self) -> Iterator[str]:
        """The metric that tells whether this process leads."""
        status = Counter("leader_election_master_status", "1: this process leads.", ("name",), type="gauge")
        status.add((self._config.lease,), float(self.is_leader))
        return status.lines()
