"""Validation of PriorityLevelConfigurations: shares, and queues."""

import math
from collections.abc import Iterable

from minikube_py.kinds.flowcontrol.flowvalidation import EXEMPT
from minikube_py.kinds.flowcontrol.mandatory import validate_mandatory_level
from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, name_of
from minikube_py.meta.violations import forbidden, invalid, not_supported, required

_MAX_QUEUES = 10_000_000
_MAX_ENTROPY = 60
_TYPES, _RESPONSES = ("Exempt", "Limited"), ("Queue", "Reject")


def validate_priority_level(level: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a PriorityLevelConfiguration."""
    spec = level.get("spec") or {}
    type, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if (name_of(level) == EXEMPT) != (type == "Exempt"):
        yield invalid("spec.type", type, "type must be 'Exempt' if and only if name is 'exempt'")
    if type == "Exempt":
        if limited is not None:
            yield forbidden("spec.limited", "must be nil if the type is not Limited")
        if exempt is not None:
            yield from _shares(exempt, "spec.exempt")
    elif type == "Limited":
        if exempt is not None:
            yield forbidden("spec.exempt", "must be nil if the type is Limited")
        if limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(limited)
    else:
        yield not_supported("spec.type", type, _TYPES)
    yield from validate_mandatory_level(level)


def _shares(part: Obj, path: str) -> Iterable[Violation]:
    shares, lendable = part.get("nominalConcurrencyShares"), part.get("lendablePercent")
    if shares is not None and shares < 0:
        yield invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if lendable is not None and not 0 <= lendable <= 100:
        yield invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive")


def _limited(limited: Obj) -> Iterable[Violation]:
    yield from _shares(limited, "spec.limited")
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        told = "if specified, must be a non-negative integer"
        yield invalid("spec.limited.borrowingLimitPercent", borrowing, told)
    response, path = limited.get("limitResponse") or {}, "spec.limited.limitResponse"
    type, queuing = response.get("type") or "", response.get("queuing")
    if type not in _RESPONSES:
        yield not_supported(f"{path}.type", type, _RESPONSES)
    elif type == "Reject" and queuing is not None:
        yield forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif type == "Reject":
        return
    elif queuing is None:
        yield required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queuing(queuing, f"{path}.queuing")


def _queuing(queuing: Obj, path: str) -> Iterable[Violation]:
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    if (queuing.get("queueLengthLimit") or 0) <= 0:
        yield invalid(f"{path}.queueLengthLimit", queuing.get("queueLengthLimit") or 0, "must be positive")
    if queues <= 0:
        yield invalid(f"{path}.queues", queues, "must be positive")
    elif queues > _MAX_QUEUES:
        yield invalid(f"{path}.queues", queues, f"must not be greater than {_MAX_QUEUES}")
    if hand <= 0:
        yield invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _MAX_ENTROPY:
        told = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than"
        yield invalid(f"{path}.handSize", hand, f"{told} {_MAX_ENTROPY}")
