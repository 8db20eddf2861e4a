"""Call: one request on its way through the pipeline, and the shape of the pipeline's stages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from minikube_py.apiserver.authn import ANONYMOUS
from minikube_py.apiserver.incoming import Incoming
from minikube_py.apiserver.request import Query, RequestInfo
from minikube_py.apiserver.resolving import Resolved
from minikube_py.registry.base import User

if TYPE_CHECKING:  # they are made of calls
    from minikube_py.apiserver.audit import Record
    from minikube_py.apiserver.flow_control import Seat


@dataclass(slots=True, eq=False)
class Call:
    """A request, what it asks for and who asks; filled in stage by stage."""

    request: Incoming
    resolved: Resolved
    """What its request line asks for."""
    info: RequestInfo
    query: Query
    began: float
    """When it was received (`time.perf_counter`)."""
    user: User = ANONYMOUS
    """As whom the request is judged: the one it impersonates, where it does."""
    asker: User | None = None
    """Who really asks, where that is somebody else."""
    dry_run: bool = False
    counted: list[float] | None = None
    """The number of requests in flight that this one was added to."""
    seat: "Seat | None" = None
    """The place among the requests being served that this one has."""
    record: "Record | None" = None
    """What the audit log is to be told; None where it is not to be told of this request."""
    notes: dict[str, str] = field(default_factory=dict)
    """Annotations of the audit event."""
    expired: bool = False
    """Whether it took longer than it may, and is being ended."""

    @property
    def accept(self) -> str:
        return self.request.heading.accept


Stage = Callable[[Call], Awaitable[None] | None]
"""Fills in the call, or refuses it by raising an ApiError. What it returns is awaited: only one that must wait
returns anything."""
Handler = Callable[[Call], Awaitable[web.StreamResponse]]
