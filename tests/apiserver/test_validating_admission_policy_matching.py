"""What a ValidatingAdmissionPolicy is about: rules, selectors, conditions, versions, operations."""

from typing import Any

import pytest
from api_cluster import Client
from policies import API, CONFIG_MAPS, binding, check, config_map, in_force, policy, written

NO = check("false", message="no")
NAMESPACES = "/api/v1/namespaces"


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.mark.parametrize(
    ("match", "refused"),
    [
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {"labelled"}),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, {"elsewhere"}),
        (
            {
                "excludeResourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["*"],
                        "resources": ["*"],
                        "operations": ["*"],
                        "resourceNames": ["plain"],
                    }
                ]
            },
            {"labelled", "elsewhere"},
        ),
    ],
    ids=["object", "namespace", "exclude"],
)
@pytest.mark.parametrize("where", ["policy", "binding"])
async def test_selectors(admin: Client, match: dict[str, Any], refused: set[str], where: str) -> None:
    """The selectors of a policy and of its binding choose what is judged."""
    assert (await admin.post(NAMESPACES, namespace("other"))).code == 201
    made, bound = policy(validations=NO), binding()
    if where == "policy":
        made["spec"]["matchConstraints"] |= match
    else:
        bound["spec"]["matchResources"] = match
    await in_force(admin, made, bound)
    sent = {
        "plain": await written(admin, config_map("plain")),
        "labelled": await written(admin, config_map("labelled", a="b")),
        "elsewhere": await written(admin, config_map("elsewhere"), f"{NAMESPACES}/other/configmaps"),
    }
    assert {name for name, answer in sent.items() if answer.code == 422} == refused


async def test_resource_names(admin: Client) -> None:
    """A rule with resourceNames is about these alone."""
    made = policy(validations=NO)
    made["spec"]["matchConstraints"]["resourceRules"][0]["resourceNames"] = ["bad"]
    await in_force(admin, made)
    assert (await written(admin, config_map("good"))).code == 201
    assert (await written(admin, config_map("bad"))).code == 422


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("object.metadata.name == 'c'", 422),
        ("object.metadata.name == 'd'", 201),
        ("request.userInfo.username == 'admin'", 422),
        ("'system:masters' in request.userInfo.groups && request.operation == 'CREATE'", 422),
        ("request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'", 422),
        ("request.dryRun", 201),
    ],
)
async def test_match_conditions(admin: Client, condition: str, code: int) -> None:
    """A policy judges only what its conditions hold for."""
    conditions = [{"name": "x", "expression": condition}]
    await in_force(admin, policy(matchConditions=conditions, validations=NO))
    assert (await written(admin, config_map())).code == code


async def test_conditions_that_fail(admin: Client) -> None:
    """A condition that cannot be evaluated refuses, as failurePolicy has it."""
    conditions = [{"name": "x", "expression": "object.nothing == 1"}]
    await in_force(admin, policy(matchConditions=conditions, validations=check("true")))
    answer = await written(admin, config_map())
    told = "expression 'object.nothing == 1' resulted in error: no such key: nothing"
    assert (answer.code, answer["message"].endswith(f"denied request: {told}")) == (422, True)


async def test_its_own_kinds_are_exempt(admin: Client) -> None:
    """A policy on everything can still be taken away."""
    made = policy(validations=NO)
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
    made["spec"]["matchConstraints"]["resourceRules"] = [everything]
    await in_force(admin, made)
    assert (await written(admin, config_map())).code == 422
    assert (await admin.call("DELETE", f"{API}/validatingadmissionpolicies/rule")).code == 200
    assert (await written(admin, config_map())).code == 201


async def test_updates_and_subresources(admin: Client) -> None:
    """oldObject is what was stored; a subresource is judged where rules name it."""
    made = policy(validations=check("oldObject == null || object.data == oldObject.data", message="fixed"))
    await in_force(admin, made)
    status = policy("status", validations=NO)
    status["spec"]["matchConstraints"]["resourceRules"][0]["resources"] = ["namespaces/status"]
    await in_force(admin, status, binding("status", name="status"))
    assert (await written(admin, config_map(data={"a": "1"}))).code == 201
    merge = "application/merge-patch+json"
    changed = await admin.call("PATCH", f"{CONFIG_MAPS}/c", {"data": {"a": "2"}}, type=merge)
    assert (changed.code, "fixed" in changed["message"]) == (422, True)
    labelled = {"metadata": {"labels": {"x": "y"}}}
    assert (await admin.call("PATCH", f"{CONFIG_MAPS}/c", labelled, type=merge)).code == 200
    assert (await admin.call("PATCH", f"{NAMESPACES}/default", labelled, type=merge)).code == 200
    phase = {"status": {"phase": "Active", "conditions": []}}
    assert (await admin.call("PATCH", f"{NAMESPACES}/default/status", phase, type=merge)).code == 422


async def test_equivalent_versions(admin: Client) -> None:
    """A rule that names another version of the resource sees the object in that version."""
    made = policy(validations=check("object.spec.targetCPUUtilizationPercentage == 50", message="not 50"))
    made["spec"]["matchConstraints"]["resourceRules"][0] |= {
        "apiGroups": ["autoscaling"],
        "apiVersions": ["v1"],
        "resources": ["horizontalpodautoscalers"],
    }
    await in_force(admin, made)
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 40}}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [{"type": "Resource", "resource": resource}],
        },
    }
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    assert (await admin.post(path, scaler)).code == 422
    resource["target"] = {"type": "Utilization", "averageUtilization": 50}
    assert (await admin.post(path, scaler)).code == 201
