"""The mandatory FlowSchemas and PriorityLevelConfigurations: no others may have their names, and nothing may
change them but the seats that the exempt level lends.

Source: "API Priority and Fairness", mandatory configuration objects, of the Kubernetes documentation (v1.34).
"""

from collections.abc import Iterable

from minikube_py.meta.kind import Violation
from minikube_py.meta.objects import Obj, name_of
from minikube_py.meta.violations import invalid

EVERYTHING: Obj = {
    "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}
"""What matches every request of its subjects."""


def group(name: str) -> Obj:
    """A group as a FlowSchema's subject."""
    return {"kind": "Group", "group": {"name": name}}


EVERYBODY = (group("system:unauthenticated"), group("system:authenticated"))
SCHEMAS: dict[str, Obj] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": [group("system:masters")], **EVERYTHING}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": list(EVERYBODY), **EVERYTHING}],
    },
}
"""The specs of the mandatory FlowSchemas by name."""
LEVELS: dict[str, Obj] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 5,
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    },
}
"""The specs of the mandatory PriorityLevelConfigurations by name."""


def validate_mandatory_schema(schema: Obj) -> Iterable[Violation]:
    """The refusal of a mandatory FlowSchema that is not what it must be."""
    name, spec = name_of(schema), schema.get("spec") or {}
    if name in SCHEMAS and spec != SCHEMAS[name]:
        yield invalid("spec", spec, f"spec of '{name}' must equal the fixed value")


def validate_mandatory_level(level: Obj) -> Iterable[Violation]:
    """The refusal of a mandatory PriorityLevelConfiguration that is not what it must be."""
    name, spec = name_of(level), level.get("spec") or {}
    if name not in LEVELS:
        return
    but = " except the 'spec.exempt' field" if name == "exempt" else ""
    fixed = LEVELS[name] if not but else {**LEVELS[name], "exempt": spec.get("exempt")}
    if spec != fixed:
        yield invalid("spec", spec, f"spec of '{name}'{but} must equal the fixed value")
