"""Server-side apply and managedFields: who owns which field after which write."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.errors import BadRequest, Conflict
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import copy
from minikube_py.meta.patch import fields as sets
from minikube_py.meta.patch.apply import LAST_APPLIED, apply, owners
from minikube_py.meta.patch.managed import MAX_UPDATERS, Manager, decode_managed, manager_name, track
from minikube_py.meta.schema import DEDUCED_TYPE, schema_for, type_of

DEPLOYMENT = schema_for("apps/v1", "Deployment") or DEDUCED_TYPE
POD = schema_for("v1", "Pod") or DEDUCED_TYPE
SERVICE = schema_for("v1", "Service") or DEDUCED_TYPE
CONFIG_MAP = schema_for("v1", "ConfigMap") or DEDUCED_TYPE
WIDGET = type_of(Kind("Widget", "example.com/v1", "widgets"))
T0, T1, T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"


def applier(name: str, version: str = "v1") -> Manager:
    return Manager(name, "Apply", version)


def updater(name: str, version: str = "v1", subresource: str = "") -> Manager:
    return Manager(name, "Update", version, subresource)


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}


def deployment(replicas: int | None = 3, **container: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "a", **container}]},
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    meta = {"name": "web", "namespace": "n", "labels": {"app": "web"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def entries(obj: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["manager"], one["operation"], one["time"]) for one in obj["metadata"]["managedFields"]]


def owned(obj: dict[str, Any], name: str) -> list[str]:
    return [sets.told(path) for path in sets.paths(owners(obj).get(name, {}))]


def written(
    type: Any, old: Any, new: dict[str, Any], manager: Manager, now: str, reset: Any = ()
) -> dict[str, Any]:
    """`new` with the managedFields that tracking gives."""
    managed = track(type, old, new, manager, now, reset)
    meta = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
    return {**new, "metadata": {**meta, "managedFields": managed} if managed else meta}


def test_fields_of_a_created_deployment() -> None:
    """A create owns each field it sets, containers that came with it, and items by their keys."""
    obj = deployment(
        ports=[{"containerPort": 80}], resources={}, livenessProbe={"httpGet": {"path": "/", "port": 80}}
    )
    obj["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    (entry,) = track(DEPLOYMENT, None, obj, updater("kubectl", "apps/v1"), T0, ("status",))
    leaf: dict[str, Any] = {}
    assert entry == {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "time": T0,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {".": leaf, "f:app": leaf}},
            "f:spec": {
                "f:selector": leaf,
                "f:replicas": leaf,
                "f:strategy": {"f:type": leaf, "f:rollingUpdate": {".": leaf, "f:maxSurge": leaf}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": leaf, "f:app": leaf}},
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"web"}': {
                                ".": leaf,
                                "f:name": leaf,
                                "f:image": leaf,
                                "f:ports": {
                                    ".": leaf,
                                    'k:{"containerPort":80,"protocol":"TCP"}': {
                                        ".": leaf,
                                        "f:containerPort": leaf,
                                    },
                                },
                                "f:resources": leaf,
                                "f:livenessProbe": {
                                    ".": leaf,
                                    "f:httpGet": {".": leaf, "f:path": leaf, "f:port": leaf},
                                },
                            }
                        }
                    },
                },
            },
        },
    }


def test_an_apply_claims_its_leaves() -> None:
    """An apply owns the fields it names and the items of lists, but not the structs above them."""
    obj = apply(DEPLOYMENT, None, deployment(ports=[{"containerPort": 80}]), applier("me", "apps/v1"), T0)
    assert owned(obj, "me") == [
        ".metadata.labels.app",
        ".spec.replicas",
        ".spec.selector",
        ".spec.template.metadata.labels.app",
        '.spec.template.spec.containers[name="web"]',
        '.spec.template.spec.containers[name="web"].image',
        '.spec.template.spec.containers[name="web"].name',
        '.spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]',
        '.spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort',
    ]


def test_an_apply_claims_empty_maps_and_nulls() -> None:
    """What is empty or null is claimed as it stands, but not an empty list of items."""
    config = {**config_map(), "metadata": {"name": "m", "annotations": None, "labels": {}, "finalizers": []}}
    live = apply(CONFIG_MAP, None, {**config, "data": {}}, applier("me"), T0)
    assert owned(live, "me") == [".data", ".metadata.annotations", ".metadata.labels"]


def test_an_update_takes_what_it_changes() -> None:
    """Changed fields pass to the writer, removed ones to nobody; times move for who takes."""
    first = written(CONFIG_MAP, None, config_map(a="1", b="1", c="1"), updater("one"), T0)
    second = written(CONFIG_MAP, first, {**first, "data": {"a": "1", "b": "2", "d": "1"}}, updater("two"), T1)
    assert owned(second, "one") == [".data", ".data.a"]
    assert owned(second, "two") == [".data.b", ".data.d"]
    assert entries(second) == [("one", "Update", T0), ("two", "Update", T1)]
    third = written(CONFIG_MAP, second, {**second, "data": {"a": "1"}}, updater("one"), T2)
    assert entries(third) == [("one", "Update", T0)]


def test_a_write_without_change_changes_no_owner() -> None:
    """The managedFields of an unchanged object are the old ones, whoever wrote it."""
    first = written(CONFIG_MAP, None, config_map(a="1"), updater("one"), T0)
    assert track(CONFIG_MAP, first, copy(first), updater("two"), T1) == first["metadata"]["managedFields"]


def test_subresources_have_their_own_entries() -> None:
    """A status write owns only what its subresource may set, under its own entry."""
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c"}]}}
    first = written(POD, None, {**pod, "status": {"phase": "Pending"}}, updater("sched"), T0, ("status",))
    assert ".status.phase" not in owned(first, "sched")
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    new = {**first, "status": status, "spec": {**first["spec"], "hostname": "x"}}
    second = written(POD, first, new, updater("kubelet", subresource="status"), T1, ("spec",))
    assert owned(second, "kubelet") == [
        ".status.conditions",
        '.status.conditions[type="Ready"]',
        '.status.conditions[type="Ready"].status',
        '.status.conditions[type="Ready"].type',
        ".status.phase",
    ]
    assert second["metadata"]["managedFields"][1]["subresource"] == "status"


def test_dotted_reset_fields() -> None:
    """A reset field below the top level is owned by nobody either."""
    obj = config_map(a="1")
    obj["metadata"]["labels"] = {"x": "y"}
    found = written(CONFIG_MAP, None, obj, updater("one"), T0, ("metadata.labels",))
    assert owned(found, "one") == [".data", ".data.a"]


def test_conflicts_name_owners_and_fields() -> None:
    """An apply that would change others' fields is refused with every owner and field."""
    live = apply(DEPLOYMENT, None, deployment(), applier("me", "apps/v1"), T0)
    changed = copy(live)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "b"
    live = written(DEPLOYMENT, live, changed, updater("kubectl-set", "apps/v1"), T1)
    with pytest.raises(Conflict) as one:
        apply(DEPLOYMENT, live, deployment(5, image="b"), applier("you", "apps/v1"), T2)
    assert str(one.value) == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
    with pytest.raises(Conflict) as both:
        apply(DEPLOYMENT, live, deployment(5, image="c"), applier("you", "apps/v1"), T2)
    image = '.spec.template.spec.containers[name="web"].image'
    assert str(both.value) == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-set" using apps/v1:\n'
        f'- {image}\nconflicts with "me":\n- .spec.replicas'
    )
    assert {(cause.reason, cause.field) for cause in both.value.causes} == {
        ("FieldManagerConflict", ".spec.replicas"),
        ("FieldManagerConflict", image),
    }
    assert both.value.code == 409


def test_a_conflict_with_a_subresource_names_it() -> None:
    """The owner of a field is told with the subresource by which it took it."""
    live = apply(DEPLOYMENT, None, deployment(), applier("me", "apps/v1"), T0)
    scaled = {**live, "spec": {**live["spec"], "replicas": 7}}
    live = written(DEPLOYMENT, live, scaled, updater("hpa", "apps/v1", "scale"), T1)
    with pytest.raises(
        Conflict, match=r'conflict with "hpa" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        apply(DEPLOYMENT, live, deployment(), applier("me", "apps/v1"), T2)


def test_force_takes_fields() -> None:
    """A forced apply takes the fields in conflict and leaves the others' rest."""
    live = apply(CONFIG_MAP, None, config_map(a="1", b="1"), applier("me"), T0)
    forced = apply(CONFIG_MAP, live, config_map(a="2"), applier("you"), T1, force=True)
    assert forced["data"] == {"a": "2", "b": "1"}
    assert owned(forced, "me") == [".data.b"]
    assert owned(forced, "you") == [".data.a"]


def test_shared_fields_stay_until_the_last_owner_leaves() -> None:
    """Two appliers of one value share it; it goes when neither names it."""
    live = apply(CONFIG_MAP, None, config_map(a="1", b="1"), applier("me"), T0)
    live = apply(CONFIG_MAP, live, config_map(a="1", c="1"), applier("you"), T0)
    assert live["data"] == {"a": "1", "b": "1", "c": "1"}
    live = apply(CONFIG_MAP, live, config_map(b="1"), applier("me"), T1)
    assert live["data"] == {"a": "1", "b": "1", "c": "1"}
    live = apply(CONFIG_MAP, live, config_map(c="1"), applier("you"), T1)
    assert live["data"] == {"b": "1", "c": "1"}


def test_an_item_goes_with_its_defaults() -> None:
    """A list item that its applier drops goes, with fields inside that nobody owns."""
    two = deployment()
    two["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s"})
    live = apply(DEPLOYMENT, None, two, applier("me", "apps/v1"), T0)
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"
    after = apply(DEPLOYMENT, live, deployment(), applier("me", "apps/v1"), T1)
    assert [one["name"] for one in after["spec"]["template"]["spec"]["containers"]] == ["web"]


def test_metadata_stays_without_an_owner() -> None:
    """Who gives up the last owned field of the metadata leaves the name and what nobody owns."""
    config = config_map(a="b")
    live = apply(
        CONFIG_MAP,
        None,
        {**config, "metadata": {**config["metadata"], "labels": {"a": "b"}}},
        applier("me"),
        T0,
    )
    live["metadata"]["uid"] = "u"
    left = apply(CONFIG_MAP, live, config, applier("me"), T1)["metadata"]
    assert (left.pop("managedFields")[0]["time"], left) == (T1, {"name": "c", "namespace": "n", "uid": "u"})


def test_a_struct_goes_with_its_last_owner() -> None:
    """A struct that only its applier set goes as a whole; one that others own in stays."""
    probe = {"livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5}}
    live = apply(DEPLOYMENT, None, deployment(**probe), applier("me", "apps/v1"), T0)
    container = live["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"]["httpGet"]["scheme"] = "HTTP"  # a default, owned by nobody
    gone = apply(DEPLOYMENT, live, deployment(), applier("me", "apps/v1"), T1)
    assert "livenessProbe" not in gone["spec"]["template"]["spec"]["containers"][0]
    changed = copy(live)
    changed["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = 9
    shared = written(DEPLOYMENT, live, changed, updater("you", "apps/v1"), T1)
    kept = apply(DEPLOYMENT, shared, deployment(), applier("me", "apps/v1"), T2)
    assert kept["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] == {"timeoutSeconds": 9}


def test_lists_merge_by_their_keys() -> None:
    """Items of two appliers stand side by side, told apart by keys with their defaults."""
    base = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}}
    one = {**base, "spec": {"ports": [{"port": 53, "name": "tcp"}]}}
    two = {**base, "spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "udp"}]}}
    live = apply(SERVICE, None, one, applier("me"), T0)
    live = apply(SERVICE, live, two, applier("you"), T0)
    assert [port["name"] for port in live["spec"]["ports"]] == ["tcp", "udp"]
    live = apply(SERVICE, live, {**base, "spec": {}}, applier("me"), T1)
    assert [port["name"] for port in live["spec"]["ports"]] == ["udp"]


def test_sets_merge_by_value() -> None:
    """Values of a set are owned one by one."""
    base = config_map()
    one = {**base, "metadata": {**base["metadata"], "finalizers": ["a/x", "a/y"]}}
    two = {**base, "metadata": {**base["metadata"], "finalizers": ["a/z", "a/y"]}}
    live = apply(CONFIG_MAP, None, one, applier("me"), T0)
    live = apply(CONFIG_MAP, live, two, applier("you"), T0)
    assert live["metadata"]["finalizers"] == ["a/x", "a/z", "a/y"]
    live = apply(CONFIG_MAP, live, base, applier("me"), T1)
    assert live["metadata"]["finalizers"] == ["a/z", "a/y"]


def test_objects_that_nobody_owns() -> None:
    """The first apply to an object without owners meets `before-first-apply`; updates do not start owning."""
    plain = config_map(a="1")
    assert track(CONFIG_MAP, plain, config_map(a="2"), updater("one"), T0) == []
    with pytest.raises(Conflict, match=r'conflict with "before-first-apply" using v1: \.data\.a'):
        apply(CONFIG_MAP, plain, config_map(a="2"), applier("me"), T0)
    assert apply(CONFIG_MAP, plain, config_map(a="1"), applier("me"), T0)["data"] == {"a": "1"}


def test_owners_can_be_reset() -> None:
    """A list of one empty entry forgets all owners; an empty list keeps those of the stored object."""
    first = written(CONFIG_MAP, None, config_map(a="1"), updater("one"), T0)
    for asked, expected in (([{}], []), ([], first["metadata"]["managedFields"])):
        new = {**first, "metadata": {**first["metadata"], "managedFields": asked}}
        assert track(CONFIG_MAP, first, new, updater("two"), T1) == expected


def test_kubectl_upgrades_from_client_side_apply() -> None:
    """kubectl's first server-side apply may take what its client-side apply set, and renews the annotation."""
    annotation = orjson.dumps(config_map(a="1", b="1")).decode()
    obj = config_map(a="1", b="1")
    obj["metadata"]["annotations"] = {LAST_APPLIED: annotation}
    live = written(CONFIG_MAP, None, obj, updater("kubectl-client-side-apply"), T0)
    with pytest.raises(Conflict):
        apply(CONFIG_MAP, live, config_map(a="2"), applier("other"), T1)
    after = apply(CONFIG_MAP, live, config_map(a="2"), applier("kubectl"), T1)
    assert after["data"] == {"a": "2", "b": "1"}
    assert orjson.loads(after["metadata"]["annotations"][LAST_APPLIED])["data"] == {"a": "2"}
    foreign = written(CONFIG_MAP, live, {**live, "data": {"a": "9", "b": "1"}}, updater("edit"), T1)
    with pytest.raises(Conflict, match=r'conflict with "edit" using v1: \.data\.a'):
        apply(CONFIG_MAP, foreign, config_map(a="2"), applier("kubectl"), T2)


def test_objects_without_a_schema() -> None:
    """Custom objects are owned by key in maps, lists as one value; what is empty has no spec."""
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    (entry,) = track(WIDGET, None, {**obj, "spec": {"size": 1}}, updater("kubectl-create"), T0)
    assert entry["fieldsV1"] == {"f:spec": {".": {}, "f:size": {}}}
    live = apply(WIDGET, None, {**obj, "spec": {"a": {"b": 1}, "l": [1]}}, applier("me"), T0)
    live = apply(WIDGET, live, {**obj, "spec": {"a": {"c": 2}}}, applier("you"), T0)
    assert live["spec"] == {"a": {"b": 1, "c": 2}, "l": [1]}
    with pytest.raises(Conflict, match=r'conflict with "me": \.spec\.l'):
        apply(WIDGET, live, {**obj, "spec": {"l": [2]}}, applier("you"), T0)
    assert apply(WIDGET, live, obj, applier("me"), T1)["spec"] == {"a": {"c": 2}}


BAD = {
    "unknown field": (
        {"spec": {"foo": 1}},
        r"\(n/web; apps/v1, Kind=Deployment\): .spec.foo: field not declared",
    ),
    "core group": ({"apiVersion": "v1", "spec": {"foo": 1}}, r"\(n/web; /v1, Kind=Deployment\): \.spec\.foo"),
    "no number": (
        {"spec": {"replicas": "x"}},
        r"\.spec\.replicas: expected numeric \(int or float\), got string",
    ),
    "no bool": ({"spec": {"paused": "x"}}, r"\.spec\.paused: expected boolean, got &{x}"),
    "no map": ({"spec": {"template": [1]}}, r"\.spec\.template: expected map, got &{\[1\]}"),
    "no list": (
        {"spec": {"template": {"spec": {"containers": {"a": 1}}}}},
        r"\.spec\.template\.spec\.containers: expected list, got &{map\[a:1\]}",
    ),
    "no string": (
        {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": {"b": 1.5}}]}}}},
        r'containers\[name="a"\]\.image: expected string, got &value\.valueUnstructured'
        r'{Value:map\[string\]interface {}{"b":1\.5}}',
    ),
    "several": (
        {"spec": {"replicas": [], "foo": None}},
        r"errors:\n  \.spec\.replicas: expected numeric .*interface {}\n  \.spec\.foo: field not declared",
    ),
    "duplicate item": (
        {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}}},
        r"\.spec\.template\.spec\.containers: duplicate entries for key",
    ),
    "item without key": (
        {"spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}},
        r'element 0: associative list with keys has an element that omits key field "name"',
    ),
    "managed fields": ({"metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
    "no managed fields": ({"metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_malformed_configurations(change: dict[str, Any], message: str) -> None:
    """A configuration that has no set of fields is a bad request that names the field."""
    with pytest.raises(BadRequest, match=message):
        apply(DEPLOYMENT, None, {**deployment(), **change}, applier("me", "apps/v1"), T0)


def test_many_updaters_are_joined() -> None:
    """At most ten update entries are kept; the oldest fall together as ancient changes."""
    obj = written(CONFIG_MAP, None, config_map(a="0"), updater("m0"), "2026-01-01T00:00:00Z")
    for at in range(1, 15):
        new = {**obj, "data": {**obj["data"], f"k{at}": "x"}}
        obj = written(CONFIG_MAP, obj, new, updater(f"m{at}"), f"2026-01-01T00:00:{at:02}Z")
    found = [name for name, _, _ in entries(obj)]
    assert len(found) == MAX_UPDATERS
    assert "ancient-changes" in found
    assert found[-1] == "m14"
    assert ".data.k1" in owned(obj, "ancient-changes")


def test_duplicate_items_do_not_break_tracking() -> None:
    """A list whose items cannot be told apart is owned as one field."""
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "env": [{"name": "A"}, {"name": "A"}]}]},
    }
    found = written(POD, None, pod, updater("one"), T0)
    assert '.spec.containers[name="c"].env' in owned(found, "one")


def test_names_of_managers() -> None:
    """The manager is the fieldManager, or what the User-Agent begins with."""
    assert manager_name("me", "kubectl/v1.34 (linux)") == "me"
    assert manager_name("", "kubectl/v1.34 (linux)") == "kubectl"
    assert manager_name("", "") == "unknown"
    assert len(manager_name("", "x" * 300)) == 128


def test_malformed_entries_count_as_none() -> None:
    """managedFields that cannot be read own nothing."""
    assert decode_managed([{"operation": "Guess", "fieldsV1": {}}]) == {}
    assert decode_managed([{"operation": "Update", "fieldsV1": []}]) == {}
    assert decode_managed(["x"]) == {}


elements = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}'])
path_lists = st.lists(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=6)


def made(found: list[tuple[str, ...]]) -> sets.Fields:
    result: sets.Fields = {}
    for path in found:
        result = sets.union(result, sets.singleton(path))
    return result


@given(path_lists, path_lists)
def test_field_sets_are_sets(left: list[tuple[str, ...]], right: list[tuple[str, ...]]) -> None:
    """Union, difference and intersection of trees are those of the sets of paths."""
    one, two = made(left), made(right)
    before = copy([one, two])
    assert set(sets.paths(one)) == set(left)
    assert set(sets.paths(sets.union(one, two))) == set(left) | set(right)
    assert sets.union(one, copy(one)) is one
    assert set(sets.paths(sets.difference(one, two))) == set(left) - set(right)
    assert set(sets.paths(sets.intersection(one, two))) == set(left) & set(right)
    assert [one, two] == before


keys = st.sampled_from("abc")
data = st.dictionaries(keys, st.sampled_from("xy"), min_size=1)
free = st.recursive(
    st.sampled_from([1, "x", [1], {}]), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def contains(obj: Any, part: Any) -> bool:
    if isinstance(part, dict) and isinstance(obj, dict):
        return all(key in obj and contains(obj[key], value) for key, value in part.items())
    return bool(obj == part)


@given(
    st.lists(st.tuples(st.sampled_from(["one", "two"]), st.dictionaries(keys, free, max_size=3)), max_size=6)
)
def test_applies_keep_their_promises(steps: list[tuple[str, dict[str, Any]]]) -> None:
    """After a forced apply the configuration stands, applying it again changes nothing, and an empty one
    removes all that nobody else owns."""
    base = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    live: Any = None
    for name, spec in steps:
        config = {**base, "spec": spec} if spec else base
        before = copy([live, config])
        after = apply(WIDGET, live, config, applier(name), T0, force=True)
        assert [live, config] == before
        assert contains(after, config)
        assert apply(WIDGET, after, config, applier(name), T1) == after
        live = after
    for name in ("one", "two"):
        live = apply(WIDGET, live, base, applier(name), T2, force=True)
    assert live == base


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), data), min_size=1, max_size=6))
def test_every_field_has_one_updater(steps: list[tuple[str, dict[str, str]]]) -> None:
    """After any updates each key has exactly one owner: who set its value last."""
    last: dict[str, str] = {}
    obj: Any = None
    for name, values in steps:
        old = obj["data"] if obj else {}
        last = {key: name if old.get(key) != value else last[key] for key, value in values.items()}
        obj = written(CONFIG_MAP, obj, {**(obj or config_map()), "data": values}, updater(name), T0)
    found = {key: [n for n in owners(obj) if f".data.{key}" in owned(obj, n)] for key in obj["data"]}
    assert found == {key: [name] for key, name in last.items()}
