"""PriorityLevelConfiguration: how many requests of a level run at a time, and which wait."""

from minikube_py.kinds.columns import AGE, NAME, NONE, text
from minikube_py.kinds.flowcontrol.flowvalidation import validate_conditions
from minikube_py.kinds.flowcontrol.levelvalidation import validate_priority_level
from minikube_py.kinds.strategy import fresh_status, if_absent, if_empty, section
from minikube_py.meta.kind import USER_METADATA, Column, Kind
from minikube_py.meta.objects import Obj, dig

DEFAULT_SHARES = 30
_QUEUING = "spec.limited.limitResponse.queuing"


def default(level: Obj) -> None:
    spec = section(level, "spec")
    if spec.get("type") == "Exempt":
        exempt = section(spec, "exempt")
        if_absent(exempt, "nominalConcurrencyShares", 0)
        if_absent(exempt, "lendablePercent", 0)
    limited = spec.get("limited")
    if limited is None:
        return
    if_absent(limited, "nominalConcurrencyShares", DEFAULT_SHARES)
    if_absent(limited, "lendablePercent", 0)
    queuing = dig(level, _QUEUING)
    if queuing is not None:
        if_empty(queuing, "queues", 64)
        if_empty(queuing, "handSize", 8)
        if_empty(queuing, "queueLengthLimit", 50)


PriorityLevelConfiguration = Kind(
    "PriorityLevelConfiguration",
    "flowcontrol.apiserver.k8s.io/v1",
    "prioritylevelconfigurations",
    namespaced=False,
    subresources=("status",),
    status_keeps=USER_METADATA,
    default=default,
    prepare=fresh_status,
    validate=validate_priority_level,
    validate_status=validate_conditions,
    columns=(
        NAME,
        Column("Type", text("spec.type"), description="Limited or Exempt"),
        Column(
            "NominalConcurrencyShares",
            lambda level, now: dig(level, "spec.limited.nominalConcurrencyShares", NONE),
            description="Its share of the server's concurrency",
        ),
        Column("Queues", lambda level, now: dig(level, f"{_QUEUING}.queues", NONE), description="Its queues"),
        Column(
            "HandSize",
            lambda level, now: dig(level, f"{_QUEUING}.handSize", NONE),
            description="Queues per flow",
        ),
        Column(
            "QueueLengthLimit",
            lambda level, now: dig(level, f"{_QUEUING}.queueLengthLimit", NONE),
            description="The longest that a queue may be",
        ),
        AGE,
    ),
)
