"""What one write costs a ResourceQuota, and whether the quota has that much left. Pure."""

from datetime import datetime

from minikube_py.kinds.quota.bounds import Bounds
from minikube_py.kinds.quota.evaluators import Evaluator
from minikube_py.meta.amounts import Amounts, Given, above, minus, only, plus, positive, shown
from minikube_py.meta.objects import Obj
from minikube_py.meta.quantity import parse_quantity


class Refused(Exception):
    """The quota does not take the object; the text says why."""


def cost(bounds: Bounds, evaluator: Evaluator, new: Obj, old: Obj | None, now: datetime) -> Amounts:
    """What a write of `new` in the place of `old` adds to the quota's usage; empty where nothing, or where the
    quota is not about the object. Errors: Refused."""
    if not bounds.about(evaluator, new):
        return {}
    names = bounds.names[evaluator.resource]
    if why := evaluator.demands(names, new):
        raise Refused(f"failed quota: {bounds.name}: {why}")
    usage = only(evaluator.usage(new, now), names)
    if negative := sorted(name for name, amount in usage.items() if parse_quantity(amount) < 0):
        raise Refused(f"quota usage is negative for resource(s): {','.join(negative)}")
    if old is not None and bounds.about(evaluator, old):
        usage = minus(usage, evaluator.usage(old, now))
    return positive(usage)


def charged(bounds: Bounds, used: Given, wanted: Given) -> Amounts:
    """The usage with what is wanted. Errors: Refused where it is more than the quota allows."""
    after = plus(used, wanted)
    exceeded = above(only(after, wanted.keys()), bounds.hard)
    if not exceeded:
        return after
    parts = (("requested", wanted), ("used", used), ("limited", bounds.hard))
    told = ", ".join(f"{title}: {shown(only(amounts, exceeded))}" for title, amounts in parts)
    raise Refused(f"exceeded quota: {bounds.name}, {told}")
