"""How a pod is kept apart beyond Linux' ordinary namespaces: its runtime handler and its user namespace.

What this node's runtime cannot do is refused here in the kubelet's words, before anything is made.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from minikube_py.kubelet.kuberuntime.usernamespaces import UserNamespaces
from minikube_py.meta.objects import Obj, uid_of
from minikube_py.runtime.base import HandlerFeatures, RuntimeFailed, SandboxConfig, UserNamespace

Lookup = Callable[[str], Obj | None]
"""The RuntimeClass of a name."""


def runtime_handler(pod: Obj, lookup: Lookup) -> str:
    """The handler of the pod's runtime class; '' is the default one. Errors: RuntimeFailed."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return ""
    found = lookup(name)
    if found is None:
        raise RuntimeFailed(f'runtimeclass.node.k8s.io "{name}" not found')
    return str(found["handler"])


def has_own_users(pod: Obj) -> bool:
    """Whether the pod is to have a user namespace of its own."""
    return pod["spec"].get("hostUsers") is False


def require_user_namespaces(handler: str, handlers: Mapping[str, HandlerFeatures]) -> None:
    """Errors: RuntimeFailed where the handler has no user namespaces."""
    known = handlers.get(handler)
    if known is not None and known.user_namespaces:
        return
    what = f'RuntimeClass handler "{handler}"' if handler else "runtime"
    why = f"can't set `spec.hostUsers: false`, {what} does not support user namespaces"
    if known is None and handlers:
        why += f': the handler "{handler}" is not known'
    raise RuntimeFailed(why)


class Isolation:
    """What keeps this node's pods apart. `handlers` tells what the runtime's handlers can do now."""

    def __init__(
        self, lookup: Lookup, handlers: Callable[[], Mapping[str, HandlerFeatures]], users: UserNamespaces
    ) -> None:
        self._lookup, self._handlers, self._users = lookup, handlers, users

    async def users(self, pod: Obj) -> UserNamespace | None:
        """The pod's user namespace; None for the node's own. Errors: RuntimeFailed, OSError."""
        if not has_own_users(pod):
            return None
        require_user_namespaces(runtime_handler(pod, self._lookup), self._handlers())
        return await asyncio.to_thread(self._users.of, uid_of(pod))

    def tells_users(self) -> bool:
        """Whether the runtime tells whom its containers run as: those that tell of their handlers do."""
        return bool(self._handlers())

    def recursive_read_only(self, pod: Obj) -> bool:
        """Whether the pod's handler can make mounts read-only with all that is mounted below them; one that is
        not known cannot."""
        try:
            known = self._handlers().get(runtime_handler(pod, self._lookup))
        except RuntimeFailed:
            return False
        return known is not None and known.recursive_read_only_mounts

    async def apply(self, pod: Obj, config: SandboxConfig) -> SandboxConfig:
        """The sandbox's configuration with the pod's handler and user namespace.
        Errors: RuntimeFailed, OSError."""
        handler = runtime_handler(pod, self._lookup)
        spaces = replace(config.namespaces, user=await self.users(pod))
        return replace(config, runtime_handler=handler, namespaces=spaces)
