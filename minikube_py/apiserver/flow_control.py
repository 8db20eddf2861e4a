"""Flow control: a bounded number of requests is served at a time, shared out by priority level and by flow.

FlowSchemas and PriorityLevelConfigurations say who belongs to which level (see flow_schemas); a level has a
share of the seats, lends what it does not use, and always gets back what it did not lend. Within a level one
flow (mostly: one user) holds at most three quarters of the seats, and those who wait are served flow by flow,
so that nobody's flood starves others, nor system levels. Who waits too long, or finds the queue full, is told
to come back (429). Exempt levels, watches and streams take no seat. Seats are taken and given back without
waiting in the common case.
Limits: what a level was lent is not called back before the requests that hold it end; a list costs as much as
a get.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from minikube_py.apiserver.flow_schemas import FlowSchemas
from minikube_py.apiserver.incoming import Added, added
from minikube_py.apiserver.request import RequestInfo
from minikube_py.errors import TooManyRequests
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from minikube_py.meta.objects import Obj, dig, name_of, uid_of
from minikube_py.meta.remembered import LONGEST
from minikube_py.registry.base import User
from minikube_py.registry.resource import Registry

QUEUE_SECONDS = 5.0
"""The longest that a request waits for a seat."""
FLOW_SHARE = 0.75
"""The part of a level's seats that one flow may hold."""
REMEMBERED = 20_000
_LIMITED, _EXEMPT = "spec.limited", "spec.exempt"


@dataclass(slots=True)
class Level:
    """A priority level: its seats, who holds them, and who waits."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable: float = 0.0
    borrowable: float = math.inf
    queue_limit: int = 0
    """How many of one flow may wait; 0: nobody waits."""
    seats: int = 0
    flow_limit: int = 0
    """The seats that one flow may hold."""
    executing: int = 0
    flows: dict[str, int] = field(default_factory=dict)
    waiting: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)
    dispatched: int = 0
    rejected: int = 0

    @property
    def kept(self) -> int:
        """The seats that nobody else may use: those in use, and those that are not lent."""
        return max(self.executing, self.seats - int(self.seats * self.lendable))

    @property
    def most(self) -> float:
        """The seats it may hold with what it borrows."""
        return self.seats * (1 + self.borrowable)


class Seat(NamedTuple):
    """A place that a request has; `left` gives it back."""

    level: Level
    flow: str


class Place(NamedTuple):
    """Where a request belongs: the seat that it would have, and the response headers that tell of it."""

    seat: Seat
    added: Added


def level_from(stored: Obj, known: Level | None = None) -> Level:
    """The level that a PriorityLevelConfiguration describes, with the holders of `known`."""
    level = known or Level(name_of(stored))
    level.uid = uid_of(stored)
    level.exempt = dig(stored, "spec.type") == "Exempt"
    part = _EXEMPT if level.exempt else _LIMITED
    level.shares = dig(stored, f"{part}.nominalConcurrencyShares", 0) or 0
    level.lendable = (dig(stored, f"{part}.lendablePercent", 0) or 0) / 100
    limit = dig(stored, f"{_LIMITED}.borrowingLimitPercent")
    level.borrowable = math.inf if limit is None else limit / 100
    queues = dig(stored, f"{_LIMITED}.limitResponse.type") == "Queue"
    level.queue_limit = dig(stored, f"{_LIMITED}.limitResponse.queuing.queueLengthLimit", 50) if queues else 0
    return level


class FlowControl:
    """Gives seats to requests. `total` is how many are served at a time, exempt ones apart."""

    def __init__(self, total: int, queue_seconds: float = QUEUE_SECONDS) -> None:
        self.total = total
        self.schemas = FlowSchemas()
        self._levels: dict[str, Level] = {}
        self._queue_seconds = queue_seconds
        self._places: dict[tuple[object, ...], Place | None] = {}
        self._waiting = 0

    def follow(self, registry: Registry) -> list[Callable[[], None]]:
        """Go by the stored schemas and levels from now on; the results end it."""
        return [
            registry.follow(PriorityLevelConfiguration, self.put_level, self.remove_level),
            registry.follow(FlowSchema, self._put_schema, self._remove_schema),
        ]

    def _put_schema(self, schema: Obj) -> None:
        self.schemas.put(schema)
        self._places.clear()

    def _remove_schema(self, schema: Obj) -> None:
        self.schemas.remove(schema)
        self._places.clear()

    def put_level(self, stored: Obj) -> None:
        """Know a PriorityLevelConfiguration as it is now."""
        name = name_of(stored)
        self._levels[name] = level_from(stored, self._levels.get(name))
        self._share_out()

    def remove_level(self, stored: Obj) -> None:
        """The PriorityLevelConfiguration is gone; those who wait at it are served."""
        gone = self._levels.pop(name_of(stored), None)
        if gone is not None:
            gone.exempt = True
            self._dispatch(gone)
        self._share_out()

    def _share_out(self) -> None:
        shares = sum(level.shares for level in self._levels.values()) or 1
        for level in self._levels.values():
            level.seats = math.ceil(self.total * level.shares / shares)
            level.flow_limit = max(1, math.ceil(level.seats * FLOW_SHARE))
        self.schemas.set_levels(self._levels)
        self._places.clear()
        for level in self._levels.values():
            self._dispatch(level)

    # Entering

    def place_of(self, user: User, info: RequestInfo) -> Place | None:
        """Where a request belongs; None where no schema matches it. Remembered by user and resource until any
        schema or level changes."""
        where = info.namespace if info.is_resource else info.path
        key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, where)
        try:
            return self._places[key]
        except KeyError:
            if len(self._places) >= REMEMBERED:
                self._places.clear()
            found = self._found(user, info)
            if sum(map(len, (where, info.group, info.resource, info.subresource))) <= LONGEST:
                self._places[key] = found
            return found

    def _found(self, user: User, info: RequestInfo) -> Place | None:
        flow = self.schemas.flow_of(user, info)
        if flow is None:
            return None
        level = self._levels[flow.level]
        headers = {
            "X-Kubernetes-Pf-Flowschema-Uid": flow.schema_uid,
            "X-Kubernetes-Pf-Prioritylevel-Uid": level.uid,
        }
        return Place(Seat(level, flow.distinguisher), added(headers))

    def enter(self, place: Place) -> Seat | Coroutine[None, None, Seat]:
        """A seat, or where there is none now, what to await for it. Errors, here or there: TooManyRequests."""
        level, key = place.seat
        # Those of other flows who wait while there are seats hold as many as one flow may.
        if level.exempt or (key not in level.waiting and self._is_free(level, key)):
            self._take(level, key)
            return place.seat
        queue = level.waiting.get(key)
        if not level.seats or len(queue or ()) >= level.queue_limit:
            level.rejected += 1
            raise _too_many()
        return self._wait(place.seat)

    def _is_free(self, level: Level, flow: str) -> bool:
        if level.flows.get(flow, 0) >= level.flow_limit:
            return False
        if level.executing < level.seats:
            return True
        if level.executing >= level.most:
            return False
        others = sum(other.kept for other in self._levels.values() if other is not level)
        return others + level.executing < self.total

    def _take(self, level: Level, flow: str) -> None:
        level.dispatched += 1
        if not level.exempt:
            level.executing += 1
            level.flows[flow] = level.flows.get(flow, 0) + 1

    async def _wait(self, seat: Seat) -> Seat:
        level, flow = seat
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = level.waiting.setdefault(flow, deque())
        queue.append(granted)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_seconds):
                await granted
            return seat
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self.leave(seat)
            else:
                self._unqueue(level, flow, granted)
            if isinstance(error, TimeoutError):
                level.rejected += 1
                raise _too_many() from error
            raise
        finally:
            self._waiting -= 1

    def _unqueue(self, level: Level, flow: str, waiting: asyncio.Future[None]) -> None:
        queue = level.waiting.get(flow)
        if queue and waiting in queue:
            queue.remove(waiting)
            if not queue:
                level.waiting.pop(flow, None)

    # Leaving

    def leave(self, seat: Seat) -> None:
        """Give a seat back; those who wait for it are served."""
        level, flow = seat
        left = level.flows.get(flow)
        if left is None:
            return  # it was taken while the level was exempt
        level.executing -= 1
        if left > 1:
            level.flows[flow] = left - 1
        else:
            del level.flows[flow]
        if self._waiting:
            for waited in (level, *self._levels.values()):
                if waited.waiting:
                    self._dispatch(waited)

    def _dispatch(self, level: Level) -> None:
        """Serve those who wait, flow by flow, as far as there are seats."""
        while level.waiting:
            flow = next((f for f in level.waiting if level.exempt or self._is_free(level, f)), None)
            if flow is None:
                return
            queue = level.waiting[flow]
            granted = queue.popleft()
            if queue:
                level.waiting.move_to_end(flow)
            else:
                del level.waiting[flow]
            if not granted.done():
                self._take(level, flow)
                granted.set_result(None)

    def lines(self) -> Iterator[str]:
        """The metrics of the levels, named as Kubernetes names them."""
        for name, kind, read in _METRICS:
            full = f"apiserver_flowcontrol_{name}"
            yield f"# HELP {full} {read.__doc__}"
            yield f"# TYPE {full} {kind}"
            for level in self._levels.values():
                yield f'{full}{{priority_level="{level.name}"}} {read(level)}'


def _seats(level: Level) -> int:
    """Seats of the level."""
    return level.seats


def _executing(level: Level) -> int:
    """Requests of the level that are being served."""
    return level.executing


def _queued(level: Level) -> int:
    """Requests of the level that wait."""
    return sum(map(len, level.waiting.values()))


def _dispatched(level: Level) -> int:
    """Requests of the level that were served."""
    return level.dispatched


def _rejected(level: Level) -> int:
    """Requests of the level that were refused."""
    return level.rejected


_METRICS: tuple[tuple[str, str, Callable[[Level], int]], ...] = (
    ("nominal_limit_seats", "gauge", _seats),
    ("current_executing_requests", "gauge", _executing),
    ("current_inqueue_requests", "gauge", _queued),
    ("dispatched_requests_total", "counter", _dispatched),
    ("rejected_requests_total", "counter", _rejected),
)


def _too_many() -> TooManyRequests:
    return TooManyRequests("too many requests, please try again later", retry_after=1)
