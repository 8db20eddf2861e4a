"""Who may ask this kubelet's server, and for what."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One request: a bearer token, or the subject of a client certificate; and what it asks for. `verb` is the
    API verb (get, create), `subresource` that of nodes: stats, metrics, pods, ..., or proxy for all else."""

    node: str
    verb: str
    subresource: str
    path: str
    token: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may be served, and whose it is."""

    is_allowed: bool
    user: str


class Access(Protocol):
    """Decides by the cluster's authentication and authorization."""

    async def decide(self, request: AccessRequest) -> Decision:
        """Who asks, and whether they may. Errors: Unauthorized where the token proves nothing."""
