"""FlowSchema: which requests belong to which priority level."""

from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME, NONE, integer, text
from minikube_py.kinds.flowcontrol.flowvalidation import validate_conditions, validate_flow_schema
from minikube_py.kinds.strategy import fresh_status, if_empty, section
from minikube_py.meta.kind import USER_METADATA, Column, Kind
from minikube_py.meta.objects import Obj, condition

DEFAULT_PRECEDENCE = 1000


def default(schema: Obj) -> None:
    if_empty(section(schema, "spec"), "matchingPrecedence", DEFAULT_PRECEDENCE)


def _missing(schema: Obj, now: datetime) -> str:
    found = condition(schema, "Dangling")
    return "?" if found is None else found.get("status") or ""


FlowSchema = Kind(
    "FlowSchema",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowschemas",
    namespaced=False,
    subresources=("status",),
    status_keeps=USER_METADATA,
    default=default,
    prepare=fresh_status,
    validate=validate_flow_schema,
    validate_status=validate_conditions,
    columns=(
        NAME,
        Column(
            "PriorityLevel",
            text("spec.priorityLevelConfiguration.name"),
            description="The priority level of its requests",
        ),
        Column(
            "MatchingPrecedence",
            integer("spec.matchingPrecedence"),
            description="Of several that match, the lowest wins",
        ),
        Column(
            "DistinguisherMethod",
            text("spec.distinguisherMethod.type", NONE),
            description="What parts its flows",
        ),
        AGE,
        Column("MissingPL", _missing, description="Whether the priority level is missing"),
    ),
)
