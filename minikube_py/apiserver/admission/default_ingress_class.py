"""DefaultIngressClass: an Ingress that names no class gets the cluster's default one."""

from minikube_py.apiserver.admission.base import Plugin, object_of
from minikube_py.apiserver.admission.defaults import default_of
from minikube_py.kinds.networking.ingressclass import IngressClass
from minikube_py.kinds.networking.ingressrules import CLASS_ANNOTATION
from minikube_py.meta.objects import Obj, annotations_of, dig, name_of
from minikube_py.registry.base import Attributes

DEFAULT = "ingressclass.kubernetes.io/is-default-class"


class DefaultIngressClass(Plugin):
    """Fills in spec.ingressClassName."""

    name = "DefaultIngressClass"
    resources = frozenset(("ingresses.networking.k8s.io",))

    async def mutate(self, request: Attributes) -> None:
        ingress = object_of(request)
        if dig(ingress, "spec.ingressClassName") is not None or CLASS_ANNOTATION in annotations_of(ingress):
            return
        chosen = default_of(self.registry, IngressClass, is_default)
        if chosen is not None:
            ingress.setdefault("spec", {})["ingressClassName"] = name_of(chosen)


def is_default(ingress_class: Obj) -> bool:
    """Whether Ingresses that name no class get this one."""
    return annotations_of(ingress_class).get(DEFAULT) == "true"
