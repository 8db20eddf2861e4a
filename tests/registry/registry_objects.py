"""What the registry's tests put into it."""

from collections.abc import Awaitable, Callable
from typing import Any

from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj
from minikube_py.registry.base import Context

WIDGET = Kind(
    "Widget",
    "example.com/v1",
    "widgets",
    subresources=("status", "scale"),
    schema={
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
)
"""A custom resource."""

CONTEXT = Context(field_manager="test")

Create = Callable[..., Awaitable[Obj]]


def pod_body(**spec: Any) -> Obj:
    """The rest of a pod with one container."""
    return {"spec": {"containers": [{"name": "main", "image": "example/app:1"}], **spec}}
