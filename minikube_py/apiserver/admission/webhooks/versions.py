"""What a webhook is shown of a request: its objects in the version that the webhook's rules name."""

from minikube_py.apiserver.admission.webhooks.review import Shown
from minikube_py.apiserver.discovery import subresource
from minikube_py.errors import InternalError
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy
from minikube_py.registry.base import Attributes
from minikube_py.registry.resource import Registry
from minikube_py.registry.scale import scale_of, scaled
from minikube_py.registry.versions import converted

SCALE = "scale"


async def shown(registry: Registry, request: Attributes, kind: Kind) -> Shown:
    """The request as a webhook that names `kind` (a version of the request's) sees it. The objects may be the
    request's own. Errors: InternalError, what the conversion webhook raises."""
    return Shown(
        kind=kind,
        object_kind=_object_kind(request, kind),
        requested=request.requested or request.kind,
        requested_object_kind=_object_kind(request, request.requested or request.kind),
        object=await _as(registry, request, kind, request.object),
        old=await _as(registry, request, kind, request.old),
    )


def _object_kind(request: Attributes, kind: Kind) -> tuple[str, str]:
    if not request.subresource:
        return kind.api_version, kind.kind
    sub = subresource(kind, request.subresource)
    return sub.api_version, sub.kind


async def _as(registry: Registry, request: Attributes, kind: Kind, obj: Obj | None) -> Obj | None:
    if obj is None:
        return None
    if request.subresource == SCALE:
        return scale_of(request.kind, obj)
    if kind.api_version == request.kind.api_version:
        return obj
    return await convert(registry, request.kind, kind, obj)


async def convert(registry: Registry, source: Kind, target: Kind, obj: Obj) -> Obj:
    """`obj` of the kind `source`, unchanged, as one of `target`. Errors: InternalError."""
    if not target.remote_conversion:
        return converted(source, target, obj)
    if registry.converter is None:
        raise InternalError(f"Internal error occurred: no converter for {target.kind}.{target.group}")
    return (await registry.converter.convert(target, [copy(obj)], target.api_version))[0]


async def taken_over(registry: Registry, request: Attributes, kind: Kind, patched: Obj) -> None:
    """Make `patched`, what became of the object shown in `kind`, the request's object.

    The object and its metadata stay the same dicts, since the write under way holds them."""
    obj = request.object
    if obj is None:
        raise ValueError(f"{request.operation} has no object to change")
    if request.subresource == SCALE:
        wanted = scaled(request.kind, obj, {"spec": patched.get("spec") or {}})
        patched = {**wanted, "metadata": copy(obj["metadata"])}
    elif kind.api_version != request.kind.api_version:
        patched = await convert(registry, kind, request.kind, patched)
    made: Obj = copy(patched)
    metadata, fresh = obj.get("metadata"), made.get("metadata")
    obj.clear()
    obj.update(made)
    if isinstance(metadata, dict) and isinstance(fresh, dict):
        metadata.clear()
        metadata.update(fresh)
        obj["metadata"] = metadata
