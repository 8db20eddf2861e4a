"""NamespaceLifecycle: nothing is created in a namespace that is missing or ending; three may not be deleted."""

from minikube_py.apiserver.admission.base import Plugin, Surroundings, forbid, name_in
from minikube_py.errors import Cause
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.objects import Obj, dig, is_deleting, name_of
from minikube_py.registry import faults
from minikube_py.registry.base import Attributes

ACCESS_REVIEW = "localsubjectaccessreviews.authorization.k8s.io"
"""It may ask about namespaces that are gone or to come."""
PROTECTED = frozenset(("default", "kube-system", "kube-public"))


class NamespaceLifecycle(Plugin):
    """Keeps objects out of namespaces that cannot hold them, before anything else is said of them."""

    name = "NamespaceLifecycle"
    operations = frozenset(("CREATE", "DELETE"))

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._ending: dict[str, bool] = {}
        self.registry.follow(Namespace, self._put, self._remove)

    def _put(self, namespace: Obj) -> None:
        self._ending[name_of(namespace)] = (
            is_deleting(namespace) or dig(namespace, "status.phase") == "Terminating"
        )

    def _remove(self, namespace: Obj) -> None:
        self._ending.pop(name_of(namespace), None)

    def mutates(self, operation: str, resource: str) -> bool:
        if operation == "DELETE":
            return resource == "namespaces"
        return operation == "CREATE" and resource.partition("/")[0] != "namespaces"

    async def mutate(self, request: Attributes) -> None:
        if request.operation == "DELETE":
            if request.name in PROTECTED:
                raise forbid(request, "this namespace may not be deleted")
            return
        if not request.kind.namespaced or request.kind.resource == ACCESS_REVIEW:
            return
        ending = self._ending.get(request.namespace)
        if ending is None:
            raise faults.not_found(Namespace, request.namespace)
        if ending:
            self._refuse_terminating(request)

    def _refuse_terminating(self, request: Attributes) -> None:
        where = request.namespace
        error = forbid(
            request, f"unable to create new content in namespace {where} because it is being terminated"
        )
        error.details["name"] = name_in(request)
        error.causes = (
            Cause("NamespaceTerminating", f"namespace {where} is being terminated", "metadata.namespace"),
        )
        raise error
