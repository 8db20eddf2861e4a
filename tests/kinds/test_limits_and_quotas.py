"""LimitRange and ResourceQuota: what they may say, and how they show."""

import pytest
from kind_objects import created, meta, refusals, row

from minikube_py.kinds.core.limitrange import LimitRange
from minikube_py.kinds.core.resourcequota import ResourceQuota
from minikube_py.meta.objects import Obj

ITEM = "spec.limits[0]"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}}, []),
        (
            {"type": "Pod", "min": {"cpu": "3"}, "max": {"cpu": "2"}},
            [f'{ITEM}.min[cpu]: Invalid value: "3": min value 3 is greater than max value 2'],
        ),
        (
            {"type": "Container", "default": {"cpu": "3"}, "max": {"cpu": "2"}},
            [
                f'{ITEM}.defaultRequest[cpu]: Invalid value: "3": default request value 3 is '
                "greater than max value 2",
                f'{ITEM}.default[cpu]: Invalid value: "2": default value 3 is greater than max value 2',
            ],
        ),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}},
            [f'{ITEM}.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            [f"{ITEM}.default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            {"type": "PersistentVolumeClaim"},
            [
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, "
                "but neither was provided"
            ],
        ),
    ],
)
def test_limits(item: Obj, expected: list[str]) -> None:
    """The least is not above the most, defaults lie between, ratios are not below one."""
    assert refusals(LimitRange, {"metadata": meta("limits"), "spec": {"limits": [item]}}) == expected


def test_limit_defaults() -> None:
    """What a container gets without asking follows from the most it may have."""
    item = {"type": "Container", "max": {"cpu": "2"}}
    stored = created(LimitRange, {"metadata": meta("limits"), "spec": {"limits": [item]}})
    expected = {**item, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}}
    assert stored["spec"]["limits"] == [expected]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hard": {"pods": "5", "requests.cpu": "2", "count/deployments.apps": "1"}}, []),
        (
            {"hard": {"pods": "-1"}},
            ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        ({"hard": {"pods": "500m"}}, ['spec.hard[pods]: Invalid value: "500m": must be an integer']),
        (
            {"hard": {"apples": "1"}},
            [
                'spec.hard[apples]: Invalid value: "apples": '
                "must be a standard resource type or fully qualified",
                'spec.hard[apples]: Invalid value: "apples": must be a standard resource for quota',
            ],
        ),
        (
            {"hard": {"configmaps": "1"}, "scopes": ["BestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
        ),
        (
            {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
            ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
        ),
    ],
)
def test_quotas(spec: Obj, expected: list[str]) -> None:
    """A quota names standard resources, and scopes that go with them."""
    assert refusals(ResourceQuota, {"metadata": meta("quota"), "spec": spec}) == expected


def test_the_scopes_of_a_quota_stay() -> None:
    """The amounts of a quota may change, its scopes may not."""
    old = created(ResourceQuota, {"metadata": meta("quota"), "spec": {"hard": {"pods": "1"}}})
    more = {**old, "spec": {"hard": {"pods": "2"}}}
    scoped = {**old, "spec": {"hard": {"pods": "1"}, "scopes": ["BestEffort"]}}
    assert refusals(ResourceQuota, more, old) == []
    assert refusals(ResourceQuota, scoped, old) == [
        'spec.scopes: Invalid value: ["BestEffort"]: field is immutable'
    ]


def test_quota_columns() -> None:
    """What is used and allowed, requests and limits apart, by name."""
    status = {"hard": {"pods": "5", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "3", "cpu": "500m"}}
    cells = row(ResourceQuota, {"metadata": meta("quota"), "status": status})
    assert (cells["Request"], cells["Limit"]) == ("cpu: 500m/1, pods: 3/5", "limits.cpu: 0/2")
