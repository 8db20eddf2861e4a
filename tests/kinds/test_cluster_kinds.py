"""PodDisruptionBudget, CertificateSigningRequest, APIService, the kinds of flow control, Events."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.apiregistration.apiservice import APIService
from minikube_py.kinds.certificates.certificatesigningrequest import (
    CertificateSigningRequest,
    keep_decisions,
    requested_by,
    stamp_conditions,
)
from minikube_py.kinds.certificates.requestvalidation import validate_approval, validate_status
from minikube_py.kinds.core.event import Event
from minikube_py.kinds.events.event import EventsEvent, from_core, to_core
from minikube_py.kinds.flowcontrol import mandatory
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from minikube_py.kinds.policy.poddisruptionbudget import PodDisruptionBudget
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, copy


def obj(spec: Obj, name: str = "web", **more: Any) -> Obj:
    return {"metadata": meta(name), "spec": spec, **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 1}, []),
        ({"maxUnavailable": "50%"}, []),
        (
            {"minAvailable": 1, "maxUnavailable": 1},
            [
                'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: '
                "minAvailable and maxUnavailable cannot be both set"
            ],
        ),
        ({"minAvailable": -1}, ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
        ({"minAvailable": "101%"}, ['spec.minAvailable: Invalid value: "101%": must not be greater than 100%']),
        (
            {"unhealthyPodEvictionPolicy": "Never"},
            [
                'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": '
                'supported values: "AlwaysAllow", "IfHealthyBudget"'
            ],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            [
                "spec.selector.matchExpressions[0].values: Required value: "
                "must be specified when `operator` is 'In' or 'NotIn'"
            ],
        ),
    ],
)
def test_budget_refusals(spec: Obj, expected: list[str]) -> None:
    """A budget has one bound, and a selector that can be understood."""
    assert refusals(PodDisruptionBudget, obj(spec)) == expected


def test_budget_columns() -> None:
    """Bounds that are not set are N/A; changes of the spec are counted."""
    stored = created(PodDisruptionBudget, obj({"minAvailable": "50%"}))
    assert row(PodDisruptionBudget, stored) == {
        "Name": "web",
        "Min Available": "50%",
        "Max Unavailable": "N/A",
        "Allowed Disruptions": 0,
        "Age": "60s",
    }
    changed = updated(PodDisruptionBudget, obj({"minAvailable": 2}), stored)
    assert (stored["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)


def decided(*types: str) -> Obj:
    """A request with conditions of these types."""
    conditions = [{"type": type, "status": "True", "message": "m"} for type in types]
    return obj({"username": "jane"}, status={"conditions": conditions})


@pytest.mark.parametrize(
    ("signer", "expected"),
    [
        ("", ["spec.signerName: Required value"]),
        (
            "kubernetes.io/legacy-unknown",
            [
                'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": '
                "the legacy signerName is not allowed via this API version"
            ],
        ),
        (
            "nothing",
            [
                'spec.signerName: Invalid value: "nothing": '
                "must be a fully qualified domain and path of the form 'example.com/signer-name'"
            ],
        ),
        (
            "local/x",
            [
                'spec.signerName: Invalid value: "local": '
                "should be a domain with at least two segments separated by dots"
            ],
        ),
    ],
)
def test_signer_names(signer: str, expected: list[str]) -> None:
    """A signer is named by a domain and a path."""
    found = refusals(CertificateSigningRequest, obj({"signerName": signer, "usages": ["client auth"]}))
    assert [one for one in found if one.startswith("spec.signerName")] == expected


def test_requests_must_be_requests() -> None:
    """What is asked must be a signed certificate request, for known usages, for long enough."""
    spec = {"request": "eA==", "signerName": "a.b/c", "usages": ["any", "any", "fun"], "expirationSeconds": 60}
    found = refusals(CertificateSigningRequest, obj(spec))
    assert found[0] == 'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'
    assert found[1].startswith('spec.usages[2]: Unsupported value: "fun": supported values: "any", "cert sign"')
    assert found[2:] == [
        'spec.usages[1]: Duplicate value: "any"',
        "spec.expirationSeconds: Invalid value: 60: "
        "may not specify a duration less than 600 seconds (10 minutes)",
    ]


def test_the_asker_is_who_is_known() -> None:
    """What a client claims to be gives way to who it is; nobody changes what was asked."""
    request = obj({"username": "me", "groups": ["mine"], "extra": {"a": ["b"]}})
    requested_by(request, "jane", "u1", ["g"], {})
    assert request["spec"] == {"username": "jane", "uid": "u1", "groups": ["g"]}
    changed = updated(CertificateSigningRequest, obj({"username": "joe"}), request | {"status": {}})
    assert changed["spec"] == request["spec"]


def test_conditions_have_times() -> None:
    """A condition keeps its transition time for as long as its status."""
    old = decided("Approved")
    old["status"]["conditions"][0]["lastTransitionTime"] = "then"
    new = decided("Approved", "Failed")
    stamp_conditions(new, old, "now")
    assert [(one["lastTransitionTime"], one["lastUpdateTime"]) for one in new["status"]["conditions"]] == [
        ("then", "now"),
        ("now", "now"),
    ]


def test_decisions_are_kept() -> None:
    """A status write does not change what an approval says."""
    old, new = decided("Approved"), decided("Failed", "Approved")
    new["status"]["conditions"][1]["message"] = "mine"
    keep_decisions(new, old)
    assert [one["message"] for one in new["status"]["conditions"]] == ["m", "m"]


@pytest.mark.parametrize(
    ("before", "after", "by_status", "by_approval"),
    [
        ((), ("Approved",), ['updates may not add a condition of type "Approved"'], []),
        (("Denied",), (), ['updates may not remove a condition of type "Denied"'] * 1, None),
        ((), ("Failed",), [], []),
        (("Failed",), (), ['updates may not remove a condition of type "Failed"'], None),
    ],
)
def test_who_may_decide(
    before: tuple[str, ...], after: tuple[str, ...], by_status: list[str], by_approval: list[str] | None
) -> None:
    """Approvals come and stay by the approval subresource alone."""
    old, new = decided(*before), decided(*after)

    def told(violations: Any) -> list[str]:
        return [one.message.removeprefix("Forbidden: ") for one in violations]

    assert told(validate_status(new, old)) == by_status
    assert told(validate_approval(new, old)) == (by_status if by_approval is None else by_approval)


@pytest.mark.parametrize(
    ("types", "certificate", "shown"),
    [
        ((), "", "Pending"),
        (("Approved",), "", "Approved"),
        (("Approved",), "eA==", "Approved,Issued"),
        (("Approved", "Failed"), "", "Approved,Failed"),
        (("Denied",), "", "Denied"),
    ],
)
def test_request_columns(types: tuple[str, ...], certificate: str, shown: str) -> None:
    """The condition tells how far a request has come."""
    request = decided(*types)
    request["spec"]["expirationSeconds"] = 3600
    request["status"]["certificate"] = certificate
    found = row(CertificateSigningRequest, request)
    assert (found["Condition"], found["Requestor"], found["RequestedDuration"]) == (shown, "jane", "60m")


def service(**spec: Any) -> Obj:
    given = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    return {"metadata": meta("v1.example.com"), "spec": given | spec}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (service(), []),
        (service(service={"namespace": "a", "name": "b"}), []),
        (
            service(version="v2"),
            [
                'metadata.name: Invalid value: "v1.example.com": must be '
                '`spec.version+"."+spec.group`: "v2.example.com"'
            ],
        ),
        (
            service(groupPriorityMinimum=0, versionPriority=1001),
            [
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
            ],
        ),
        (
            service(caBundle="eA=="),
            ["spec.caBundle: Forbidden: local APIServices may not have a caBundle"],
        ),
        (
            service(service={"name": "b"}, caBundle="eA==", insecureSkipTLSVerify=True),
            [
                "spec.service.namespace: Required value",
                'spec.caBundle: Invalid value: "eA==": unable to load root certificates',
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ],
        ),
    ],
)
def test_api_service_refusals(found: Obj, expected: list[str]) -> None:
    """An APIService is named after what it serves, and reached safely."""
    assert refusals(APIService, found) == expected


def test_local_api_services_are_available() -> None:
    """What the server serves itself is available at once; of others nothing is known."""
    local = created(APIService, service())
    remote = created(APIService, service(service={"namespace": "a", "name": "b"}))
    assert [
        (row(APIService, one)["Service"], row(APIService, one)["Available"]) for one in (local, remote)
    ] == [
        ("Local", "True"),
        ("a/b", "Unknown"),
    ]
    remote["status"]["conditions"] = [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}]
    assert row(APIService, remote)["Available"] == "False (MissingEndpoints)"
    assert remote["spec"]["service"]["port"] == 443


def schema(**spec: Any) -> Obj:
    return obj({"priorityLevelConfiguration": {"name": "low"}, **spec})


RULES = {
    "subjects": [{"kind": "User", "user": {"name": "a"}}],
    "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (schema(rules=[RULES]), []),
        (
            schema(matchingPrecedence=1),
            [
                "spec.matchingPrecedence: Invalid value: 1: "
                "only the schema named 'exempt' may have matchingPrecedence 1"
            ],
        ),
        (
            schema(priorityLevelConfiguration={}),
            ["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
        ),
        (
            schema(rules=[{}]),
            [
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: "
                "at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
        (
            schema(rules=[RULES | {"subjects": [{"kind": "User", "group": {"name": "g"}}]}]),
            [
                "spec.rules[0].subjects[0].group: Forbidden: "
                "group is forbidden when subject kind is not 'Group'",
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            ],
        ),
        (
            schema(rules=[RULES | {"nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["a", "/a*"]}]}]),
            [
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": '
                "must start with slash",
                'spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*": '
                "wildcard can only do suffix matching",
            ],
        ),
    ],
)
def test_flow_schema_refusals(found: Obj, expected: list[str]) -> None:
    """FlowSchemas are judged with upstream's words."""
    assert refusals(FlowSchema, found) == expected


@pytest.mark.parametrize(
    ("kind", "name", "change", "expected"),
    [
        (FlowSchema, "exempt", {}, ""),
        (FlowSchema, "catch-all", {}, ""),
        (FlowSchema, "catch-all", {"matchingPrecedence": 5}, "spec of 'catch-all' must equal the fixed value"),
        (PriorityLevelConfiguration, "catch-all", {}, ""),
        (
            PriorityLevelConfiguration,
            "catch-all",
            {"limited": {"nominalConcurrencyShares": 6, "limitResponse": {"type": "Reject"}}},
            "spec of 'catch-all' must equal the fixed value",
        ),
        (
            PriorityLevelConfiguration,
            "exempt",
            {"exempt": {"nominalConcurrencyShares": 3, "lendablePercent": 4}},
            "",
        ),
        (
            PriorityLevelConfiguration,
            "exempt",
            {"type": "Limited", "exempt": None, "limited": {"limitResponse": {"type": "Reject"}}},
            "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
        ),
    ],
)
def test_mandatory_flow_objects(kind: Kind, name: str, change: Obj, expected: str) -> None:
    """The mandatory schemas and levels must be what they are, but for the seats that `exempt` lends."""
    fixed = (mandatory.SCHEMAS if kind is FlowSchema else mandatory.LEVELS)[name]
    spec = {key: value for key, value in {**fixed, **change}.items() if value is not None}
    told = [text for text in refusals(kind, obj(copy(spec), name)) if text.startswith("spec:")]
    assert [text.rpartition(": ")[2] for text in told] == ([expected] if expected else [])


def level(name: str = "low", **spec: Any) -> Obj:
    return obj(spec, name)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (level(type="Limited", limited={"limitResponse": {"type": "Queue", "queuing": {}}}), []),
        (level("exempt", type="Exempt"), []),
        (level(type="Limited"), ["spec.limited: Required value: must not be empty when type is Limited"]),
        (
            level(type="Exempt"),
            ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
        ),
        (
            level(type="Limited", limited={"limitResponse": {"type": "Queue", "queuing": {"queues": 4}}}),
            [
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: "
                "should not be greater than queues (4)"
            ],
        ),
    ],
)
def test_priority_level_refusals(found: Obj, expected: list[str]) -> None:
    """PriorityLevelConfigurations are judged with upstream's words."""
    assert refusals(PriorityLevelConfiguration, found) == expected


def test_flow_columns() -> None:
    """What kubectl shows of schemas and levels."""
    stored = created(FlowSchema, schema())
    assert list(row(FlowSchema, stored).values()) == ["web", "low", 1000, "<none>", "60s", "?"]
    limited = created(
        PriorityLevelConfiguration,
        level(type="Limited", limited={"limitResponse": {"type": "Queue", "queuing": {}}}),
    )
    shown = list(row(PriorityLevelConfiguration, limited).values())
    assert shown == ["low", "Limited", 30, 64, 8, 50, "60s"]


def test_events_are_renamed() -> None:
    """The two forms of an Event have the same fields under other names."""
    new = {
        "metadata": meta(),
        "note": "n",
        "regarding": {"kind": "Pod"},
        "reportingController": "c",
        "deprecatedCount": 2,
        "deprecatedSource": {"component": "kubelet"},
        "series": {"count": 1},
    }
    before = copy(new)
    core = to_core(new)
    assert (core["message"], core["involvedObject"], core["count"]) == ("n", {"kind": "Pod"}, 2)
    assert core["source"] == {"component": "kubelet"}
    assert from_core(core) == new == before


@pytest.mark.parametrize(
    ("event", "old", "expected"),
    [
        ({"type": "Normal"}, None, ["eventTime: Required value"]),
        (
            {"type": "Odd", "eventTime": "t", "deprecatedCount": 1},
            None,
            [
                'type: Invalid value: "": has invalid value: Odd',
                'deprecatedCount: Invalid value: "": needs to be unset',
            ],
        ),
        (
            {"type": "Normal", "eventTime": "t", "note": "b"},
            {"type": "Normal", "eventTime": "t", "note": "a"},
            ['note: Invalid value: "b": field is immutable'],
        ),
    ],
)
def test_new_events(event: Obj, old: Obj | None, expected: list[str]) -> None:
    """The newer group is stricter than the core group."""
    assert [f"{one.field}: {one.message}" for one in EventsEvent.validate(event, old)] == expected


def test_new_event_columns() -> None:
    """An event looks the same through either group."""
    new = {
        "metadata": meta("e"),
        "eventTime": "2026-01-01T11:59:00.000000Z",
        "regarding": {"kind": "Pod", "name": "web-1"},
        "note": "done",
        "type": "Normal",
        "reason": "Pulled",
        "reportingController": "kubelet",
        "reportingInstance": "n",
    }
    assert row(EventsEvent, new) == row(Event, to_core(new))
    assert (row(EventsEvent, new)["Object"], row(EventsEvent, new)["Message"]) == ("pod/web-1", "done")
    assert row(EventsEvent, new)["Source"] == "kubelet, n"
