"""Call: one request on its way through the pipeline, and the shape of the pipeline's stages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from minikube_py.apiserver.authn import ANONYMOUS
from minikube_py.apiserver.request import Query, RequestInfo
from minikube_py.registry.base import User


@dataclass(slots=True)
class Call:
    """A request, what it asks for and who asks; filled in stage by stage."""

    request: web.BaseRequest
    info: RequestInfo
    query: Query
    user: User = ANONYMOUS
    dry_run: bool = False
    counted: list[float] | None = None
    """The number of requests in flight that this one was added to."""

    @property
    def accept(self) -> str:
        return self.request.headers.get("Accept", "")


Stage = Callable[[Call], None]
"""Fills in the call, or refuses it by raising an ApiError. Stages never wait."""
Handler = Callable[[Call], Awaitable[web.StreamResponse]]
