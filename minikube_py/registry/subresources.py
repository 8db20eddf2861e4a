"""The subresources that are not a part of their object: scale, binding, eviction, token.

status, finalize and ephemeralcontainers are parts, and are written by `writing`. Which object has which
subresource is said by its Kind.
"""

from datetime import datetime
from typing import Any

from minikube_py.errors import BadRequest, NotFound, ServiceUnavailable
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    copy,
    dig,
    is_deleting,
    timestamp,
    uid_of,
    with_condition,
)
from minikube_py.meta.violations import invalid, invalid_error, required
from minikube_py.registry import faults
from minikube_py.registry.base import Attributes, TokenSigner
from minikube_py.registry.deletion import Deleter
from minikube_py.registry.entries import decoded
from minikube_py.registry.eviction import Evictor
from minikube_py.registry.pipeline import Pipeline, Write
from minikube_py.store.base import RevisionMismatch

TOKEN_SECONDS, MIN_TOKEN_SECONDS, MAX_TOKEN_SECONDS = 3600, 600, 1 << 32
BOUND_PREFIXES = {
    "Pod": "/registry/pods/{}/{}",
    "Secret": "/registry/secrets/{}/{}",
    "Node": "/registry/nodes/{1}",
}
RETRIES = 10
CREATED: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


TOKEN_REQUEST = Kind("TokenRequest", "authentication.k8s.io/v1", "tokenrequests")
"""The kind of what is stored nowhere, for its faults."""


class Subresources:
    """What a POST to an object's subresource does."""

    def __init__(self, pipeline: Pipeline, deleter: Deleter, signer: TokenSigner | None) -> None:
        self._pipeline = pipeline
        self._evictor = Evictor(pipeline, deleter)
        self.signer = signer

    async def post(self, write: Write, key: Key, body: Obj) -> Obj:
        """The answer to a POST. Errors: NotFound, Conflict, BadRequest, Invalid."""
        if write.subresource not in write.kind.subresources:
            raise faults.no_subresource(write.kind)
        if write.subresource == "binding":
            return await self._bind(write, key, body)
        if write.subresource == "eviction":
            return await self._evict(write, key, body)
        if write.subresource == "token":
            return await self._token(write, key, body)
        raise faults.unsupported(write.kind, "create", write.subresource)

    async def _admit(self, write: Write, key: Key, body: Obj) -> None:
        request = Attributes(
            "CREATE", write.kind, *key, body, None, context=write.context, subresource=write.subresource
        )
        await self._pipeline.admission.mutate(request)
        await self._pipeline.admission.validate(request)

    async def _bind(self, write: Write, key: Key, body: Obj) -> Obj:
        for _ in range(RETRIES):
            entry = self._pipeline.stored(write.kind, *key)
            await self._admit(write, key, body)
            bound = bind(write.kind, decoded(entry), body, self._pipeline.clock.now())
            try:
                await self._pipeline.put(write.kind, entry, bound, dry_run=write.context.dry_run)
                return dict(CREATED)
            except RevisionMismatch:
                continue
        raise faults.conflict(write.kind, key.name, subresource="binding")

    async def _evict(self, write: Write, key: Key, body: Obj) -> Obj:
        self._pipeline.stored(write.kind, *key)
        await self._admit(write, key, body)
        await self._evictor.evict(write, key, body)
        return dict(CREATED)

    async def _token(self, write: Write, key: Key, body: Obj) -> Obj:
        account = decoded(self._pipeline.stored(write.kind, *key))
        if self.signer is None:
            raise ServiceUnavailable("the cluster has no key to sign tokens with")
        await self._admit(write, key, body)
        spec = token_spec(body)
        spec["audiences"] = spec["audiences"] or [self.signer.issuer]
        token, expires = self.signer.issue(
            *key,
            uid_of(account),
            audiences=spec["audiences"],
            seconds=spec["expirationSeconds"],
            bound=self._bound_object(key, spec.get("boundObjectRef")),
        )
        return token_request(account, spec, token, expires)

    def _bound_object(self, account: Key, ref: Obj | None) -> Obj | None:
        """The reference with the uid of the object it names. Errors: NotFound, Conflict, BadRequest."""
        if not ref:
            return None
        kind, target = ref.get("kind", ""), ref.get("name", "")
        if kind not in BOUND_PREFIXES:
            raise BadRequest(f"cannot bind token to object of type {ref.get('apiVersion', '')}, Kind={kind}")
        entry = self._pipeline.store.get(BOUND_PREFIXES[kind].format(account.namespace, target))
        if entry is None:
            resource = f"{kind.lower()}s"
            raise NotFound(f'{resource} "{target}" not found', details={"name": target, "kind": resource})
        found = decoded(entry)
        if kind == "Pod" and dig(found, "spec.serviceAccountName", "default") != account.name:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account.name}" to pod running with different '
                "serviceaccount name."
            )
        if ref.get("uid") and ref["uid"] != uid_of(found):
            raise faults.conflict(
                Kind(kind, "v1", f"{kind.lower()}s"),
                target,
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return {**ref, "uid": uid_of(found)} | (self._node_of(found) if kind == "Pod" else {})

    def _node_of(self, pod: Obj) -> Obj:
        """The node that a pod's token names beside the pod."""
        name = dig(pod, "spec.nodeName") or ""
        entry = self._pipeline.store.get(BOUND_PREFIXES["Node"].format("", name)) if name else None
        uid = {"uid": uid_of(decoded(entry))} if entry is not None else {}
        return {"node": {"name": name, **uid}} if name else {}


def bind(kind: Kind, pod: Obj, binding: Obj, now: datetime) -> Obj:
    """A copy of `pod` assigned as `binding` says. Errors: Conflict, Invalid, BadRequest."""
    meta, target = pod["metadata"], binding.get("target") or {}
    name = meta["name"]
    if target.get("kind", "Node") not in ("", "Node") or not target.get("name"):
        raise invalid_error(kind, name, [required("target.name")])
    wanted = (binding.get("metadata") or {}).get("uid")
    why = ""
    if wanted and wanted != uid_of(pod):
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid_of(pod)}"
    elif is_deleting(pod):
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif dig(pod, "spec.nodeName"):
        why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    elif dig(pod, "spec.schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise faults.conflict(kind, name, why, subresource="binding")
    bound: Obj = copy(pod)
    bound["spec"]["nodeName"] = target["name"]
    if annotations := annotations_of(binding):
        bound["metadata"]["annotations"] = {**annotations_of(pod), **annotations}
    status = bound.setdefault("status", {})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    status["conditions"] = with_condition(status.get("conditions") or (), scheduled, now)
    return bound


def token_spec(body: Obj) -> dict[str, Any]:
    """The TokenRequest's spec with its defaults. Errors: Invalid."""
    spec = dict(body.get("spec") or {})
    seconds = spec.get("expirationSeconds")
    seconds = TOKEN_SECONDS if seconds is None else seconds
    problem = ""
    if type(seconds) is not int or seconds < MIN_TOKEN_SECONDS:
        problem = "may not specify a duration less than 10 minutes"
    elif seconds > MAX_TOKEN_SECONDS:
        problem = "may not specify a duration larger than 2^32 seconds"
    if problem:
        raise invalid_error(TOKEN_REQUEST, "", [invalid("spec.expirationSeconds", seconds, problem)])
    return {**spec, "audiences": list(spec.get("audiences") or ()), "expirationSeconds": seconds}


def token_request(account: Obj, spec: Obj, token: str, expires: datetime) -> Obj:
    """The TokenRequest as it is answered."""
    meta = account["metadata"]
    return {
        "kind": "TokenRequest",
        "apiVersion": TOKEN_REQUEST.api_version,
        "metadata": {key: meta[key] for key in ("name", "namespace", "creationTimestamp") if key in meta},
        "spec": spec,
        "status": {"token": token, "expirationTimestamp": timestamp(expires)},
    }
