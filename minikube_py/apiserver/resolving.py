"""From a request line to all that follows from it alone, found once for each line that clients repeat.

What is remembered holds for one state of the catalogue, and is forgotten as a whole: clients choose the lines,
so the number of those remembered has a limit, and long ones are not among them.
"""

from dataclasses import dataclass, field

from minikube_py.apiserver.authz import attributes_of
from minikube_py.apiserver.rbac import Attributes
from minikube_py.apiserver.request import NO_QUERY, Query, RequestInfo, parse_query, parse_request
from minikube_py.meta.remembered import LONGEST
from minikube_py.registry.catalogue import Catalogue

REMEMBERED = 4096
READS = frozenset(("get", "list"))
_LONG = frozenset(("exec", "attach", "portforward", "proxy", "log"))
_METRIC_VERBS = {"create": "POST", "update": "PUT"}
_HTTP_VERBS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "LIST", "WATCH"))

Labels = tuple[str, str, str, str, str, str]
"""The metric labels of a request: verb, group, version, resource, subresource, scope."""


@dataclass(slots=True, eq=False)
class Tally:
    """The series of the metrics that answers to one request line are counted in, once there is one."""

    answers: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    durations: list[float] | None = None
    sizes: list[float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """What a request line asks for."""

    info: RequestInfo
    query: Query
    asked: Attributes
    """What is to be allowed."""
    labels: Labels
    is_long: bool
    """Whether it may last: it is not counted in flight, and no duration is expected of it."""
    tally: Tally = field(default_factory=Tally)


def is_long_running(info: RequestInfo) -> bool:
    """Whether a request may last."""
    return info.is_resource and (info.verb == "watch" or info.subresource in _LONG)


class Resolver:
    """Resolves request lines by what the catalogue holds."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._generation = -1
        self._known: dict[tuple[str, str], Resolved] = {}
        self.unresolved = self._from(RequestInfo("", ""), NO_QUERY)
        """Of a request that could not be resolved."""

    def resolve(self, method: str, target: str) -> Resolved:
        """What `method` on `target` (the raw path, with its query) asks for. Errors: BadRequest, NotFound."""
        if self._generation != self._catalogue.generation or len(self._known) >= REMEMBERED:
            self._known.clear()
            self._generation = self._catalogue.generation
        found = self._known.get((method, target))
        if found is None:
            query = parse_query(target)
            found = self._from(parse_request(method, target, query), query)
            if len(target) <= LONGEST:
                self._known[(method, target)] = found
        return found

    def _from(self, info: RequestInfo, query: Query) -> Resolved:
        return Resolved(info, query, attributes_of(info, query), self._labels(info), is_long_running(info))

    def _labels(self, info: RequestInfo) -> Labels:
        """The metric labels; those of what is not served are empty, so that clients cannot make up series."""
        verb = _METRIC_VERBS.get(info.verb) or info.verb.upper()
        kind = (
            self._catalogue.by_resource(info.group, info.version, info.resource) if info.is_resource else None
        )
        if kind is None:
            return verb if verb in _HTTP_VERBS else "OTHER", "", "", "", "", ""
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        subresource = info.subresource if info.subresource in kind.subresources else ""
        return verb, info.group, info.version, info.resource, subresource, scope
