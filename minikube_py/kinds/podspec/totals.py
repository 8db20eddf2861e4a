"""What a pod asks for in all: its containers together or its largest init step, its own level, overhead."""

from minikube_py.meta.amounts import Amounts, largest, plus, total
from minikube_py.meta.objects import Obj


def pod_requests(spec: Obj) -> Amounts:
    """The requests of a pod spec, with its overhead (KEP-753, KEP-688, KEP-2837)."""
    return _with_overhead(_total(spec, "requests"), spec, everything=True)


def pod_limits(spec: Obj) -> Amounts:
    """The limits of a pod spec; overhead adds to what is limited alone."""
    return _with_overhead(_total(spec, "limits"), spec, everything=False)


def _with_overhead(amounts: Amounts, spec: Obj, *, everything: bool) -> Amounts:
    overhead = spec.get("overhead") or {}
    counted = {name: amount for name, amount in overhead.items() if everything or name in amounts}
    return plus(amounts, counted)


def _of(holder: Obj, side: str) -> Amounts:
    return (holder.get("resources") or {}).get(side) or {}


def _total(spec: Obj, side: str) -> Amounts:
    running = total(_of(container, side) for container in spec.get("containers") or ())
    sidecars: Amounts = {}
    init: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, side)
        if container.get("restartPolicy") == "Always":
            sidecars = plus(sidecars, own)
            init = largest(init, sidecars)
        else:
            init = largest(init, plus(own, sidecars))
    return {**largest(plus(running, sidecars), init), **_of(spec, side)}
