"""NamespaceLifecycle: nothing is created in a namespace that is missing or ending; three may not be deleted."""

from minikube_py.apiserver.admission.base import Plugin, forbid, name_in
from minikube_py.errors import Cause, NotFound
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.meta.objects import dig, is_deleting
from minikube_py.registry.base import Attributes

PROTECTED = frozenset(("default", "kube-system", "kube-public"))


class NamespaceLifecycle(Plugin):
    """Keeps objects out of namespaces that cannot hold them."""

    name = "NamespaceLifecycle"
    operations = frozenset(("CREATE", "DELETE"))

    async def validate(self, request: Attributes) -> None:
        if request.kind.resource == "namespaces":
            if request.operation == "DELETE" and not request.subresource and request.name in PROTECTED:
                raise forbid(request, "this namespace may not be deleted")
            return
        if request.operation != "CREATE" or not request.kind.namespaced:
            return
        namespace = self.lookup(Namespace, "", request.namespace)
        if namespace is None:
            raise NotFound(
                f'namespaces "{request.namespace}" not found',
                details={"name": request.namespace, "kind": "namespaces"},
            )
        if is_deleting(namespace) or dig(namespace, "status.phase") == "Terminating":
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
