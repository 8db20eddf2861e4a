"""ComponentStatuses: how the parts of the control plane are, as `kubectl get componentstatuses` still asks.

They are made for each request from the server's own checks, and stored nowhere. The scheduler and the
controller manager run in this process, which starts them again when they fail: unless a check of their name
says otherwise, they are healthy whenever somebody can ask.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import web

from minikube_py.aio.haste import hasten
from minikube_py.apiserver import query
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.handlers import Resources, not_allowed
from minikube_py.kinds.columns import NAME
from minikube_py.meta.kind import Column, Kind
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry import faults
from minikube_py.registry.base import Listing
from minikube_py.registry.entries import imagined
from minikube_py.registry.selection import Selection

NAMES = ("scheduler", "controller-manager", "etcd-0")


def _condition(field: str) -> Callable[[Obj, datetime], str]:
    def cell(status: Obj, now: datetime) -> str:
        found = next((c for c in status.get("conditions") or () if c.get("type") == "Healthy"), None)
        if field == "status":
            return "Unknown" if found is None else "Healthy" if found["status"] == "True" else "Unhealthy"
        return str((found or {}).get(field, ""))

    return cell


COMPONENT_STATUS = Kind(
    "ComponentStatus",
    "v1",
    "componentstatuses",
    short_names=("cs",),
    namespaced=False,
    verbs=("get", "list"),
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    columns=(
        NAME,
        Column("Status", _condition("status"), description="Status of the component conditions"),
        Column("Message", _condition("message"), description="Message of the component conditions"),
        Column("Error", _condition("error"), description="Error of the component conditions"),
    ),
)


class Components:
    """Answers reads of ComponentStatuses. `checks` give an empty string where all is well, by component."""

    def __init__(self, resources: Resources, checks: Mapping[str, Callable[[], str]]) -> None:
        self._resources = resources
        self._checks = checks

    async def answer(self, call: Call) -> web.StreamResponse:
        """The response to a get or list. Errors: NotFound, MethodNotAllowed, BadRequest."""
        info, kind = call.info, COMPONENT_STATUS
        if info.verb not in kind.verbs or info.subresource:
            raise not_allowed()
        found = [self._status(name) for name in NAMES]
        if info.name:
            one = next((obj for obj in found if name_of(obj) == info.name), None)
            if one is None:
                raise faults.not_found(kind, info.name)
            return self._resources.show(call, kind, imagined(kind.storage_key("", info.name), one))
        options = query.list_options(call.query)
        selection = await hasten(Selection.of, kind, options.labels, options.fields)
        entries = [imagined(kind.storage_key("", name_of(o)), o) for o in found if selection.matches(o)]
        return await self._resources.show_all(call, kind, Listing(entries, 0))

    def _status(self, name: str) -> Obj:
        check = self._checks.get(name)
        wrong = check() if check is not None else ""
        condition = {"type": "Healthy", "status": "False" if wrong else "True", "message": wrong or "ok"}
        return {
            "kind": COMPONENT_STATUS.kind,
            "apiVersion": COMPONENT_STATUS.api_version,
            "metadata": {"name": name},
            "conditions": [condition],
        }
