"""Flow control: who belongs where, who gets a seat, who waits, and that nobody's flood starves the node."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl, start, stop

from minikube_py.aio.clock import VirtualClock
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver.bootstrap.apply import keep_flows
from minikube_py.apiserver.bootstrap.flow_schemas import AUTOUPDATE, flow_schemas, priority_levels
from minikube_py.apiserver.bootstrap.keeper import SECONDS, FlowKeeper
from minikube_py.apiserver.deadlines import parse_duration
from minikube_py.apiserver.flow_control import FlowControl, Seat
from minikube_py.apiserver.flow_schemas import Flow
from minikube_py.apiserver.request import RequestInfo
from minikube_py.errors import TooManyRequests
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.meta.objects import copy
from minikube_py.registry.base import Context, User

MASTER = User("admin", groups=("system:masters", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
ROBOT = User(
    "system:serviceaccount:ns:robot",
    groups=("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
)
SYSTEM_ROBOT = User(
    "system:serviceaccount:kube-system:dns", groups=("system:serviceaccounts", "system:authenticated")
)
MANAGER = User("system:kube-controller-manager", groups=("system:authenticated",))
BOB = User("bob", groups=("system:authenticated",))


def on(verb: str, resource: str, namespace: str = "ns", group: str = "") -> RequestInfo:
    return RequestInfo(verb, "/", True, group, "v1", resource, "", namespace)


def control(total: int = 100, queue_seconds: float = 5.0) -> FlowControl:
    """Flow control with the default schemas and levels."""
    made = FlowControl(total, queue_seconds)
    for level in priority_levels():
        level["metadata"]["uid"] = f"{level['metadata']['name']}-uid"
        made.put_level(level)
    for schema in flow_schemas():
        made.schemas.put(schema)
    return made


LEASES = "coordination.k8s.io"


@pytest.mark.parametrize(
    ("user", "info", "schema", "level", "flow"),
    [
        (MASTER, on("delete", "pods"), "exempt", "exempt", ""),
        (BOB, RequestInfo("get", "/livez"), "probes", "exempt", ""),
        (BOB, RequestInfo("get", "/metrics"), "global-default", "global-default", "bob"),
        (NODE, on("update", "leases", group=LEASES), "system-node-high", "node-high", "system:node:n1"),
        (NODE, on("update", "nodes", ""), "system-node-high", "node-high", "system:node:n1"),
        (NODE, on("get", "secrets"), "system-nodes", "system", "system:node:n1"),
        (
            MANAGER,
            on("update", "leases", group=LEASES),
            "system-leader-election",
            "leader-election",
            MANAGER.name,
        ),
        (MANAGER, on("list", "pods"), "kube-controller-manager", "workload-high", "ns"),
        (SYSTEM_ROBOT, on("list", "pods"), "kube-system-service-accounts", "workload-high", "ns"),
        (ROBOT, on("list", "pods"), "service-accounts", "workload-low", ROBOT.name),
        (BOB, on("list", "pods"), "global-default", "global-default", "bob"),
    ],
)
def test_where_requests_belong(user: User, info: RequestInfo, schema: str, level: str, flow: str) -> None:
    """The default schemas put everyone where Kubernetes' do."""
    assert control().schemas.flow_of(user, info) == Flow(schema, "", level, f"{schema}/{flow}")


def test_seats_are_shared_out() -> None:
    """Each level has its share of the seats, in proportion and rounded up."""
    made = control(600)
    assert {level.name: level.seats for level in made._levels.values()} == {
        "exempt": 0,
        "catch-all": 13,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }


def take(made: FlowControl, user: User, info: RequestInfo | None = None) -> Any:
    place = made.place_of(user, info or on("list", "pods"))
    assert place is not None
    return made.enter(place)


async def test_one_flow_leaves_room_for_others() -> None:
    """One user holds at most three quarters of the level's seats; another still gets one."""
    made = control()
    held = 0
    while isinstance(seat := take(made, BOB), Seat):
        held += 1
    other = take(made, User("jane", groups=("system:authenticated",)))
    waiting = asyncio.ensure_future(seat)
    await asyncio.sleep(0)
    made.leave(other)
    assert (held, isinstance(other, Seat), waiting.done()) == (7, True, False)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_who_waits_is_served_in_turn() -> None:
    """Those who wait get the seats that become free, flow by flow, not the loudest first."""
    made = control(10)  # one seat for global-default
    first = take(made, BOB)
    served: list[str] = []

    async def ask(name: str) -> None:
        seat = take(made, User(name, groups=("system:authenticated",)))
        served.append(name if isinstance(seat, Seat) else "")
        granted = seat if isinstance(seat, Seat) else await seat
        served[-1:] = [name] if served[-1] == "" else [served[-1], name]
        made.leave(granted)

    async with asyncio.TaskGroup() as group:
        for name in ("bob", "bob", "bob", "jane"):
            group.create_task(ask(name))
        await asyncio.sleep(0)
        made.leave(first)
    level = made._levels["global-default"]
    assert served.index("jane") < len(served) - 1
    assert (level.executing, level.flows, len(level.waiting)) == (0, {}, 0)


async def test_who_waits_too_long_is_sent_away() -> None:
    """After some seconds, or at once where too many wait already, the answer is to come back."""
    made = control(10, queue_seconds=0.05)
    take(made, BOB)
    with pytest.raises(TooManyRequests) as late:
        await take(made, BOB)
    waiting = [asyncio.ensure_future(take(made, BOB)) for _ in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        take(made, BOB)
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    level = made._levels["global-default"]
    assert (late.value.retry_after, {type(error) for error in ended}) == (1, {TooManyRequests})
    assert (level.executing, len(level.waiting), level.rejected) == (1, 0, 52)


def test_seats_are_lent_but_not_all() -> None:
    """A level borrows what others lend, and each of those keeps what it does not lend."""
    made = control(1000)
    count = 0
    for number in range(10_000):
        user = User(f"u{number}", groups=("system:authenticated",))
        if not isinstance(seat := take(made, user), Seat):
            seat.close()
            break
        count += 1
    node = [take(made, NODE, on("update", "leases", group=LEASES)) for _ in range(90)]
    assert (count > made._levels["global-default"].seats, count < 1000) == (True, True)
    assert {type(seat) for seat in node} == {Seat}


async def test_flood_does_not_starve_the_node(tmp_path: Path) -> None:
    """While one user holds every seat it can get, the node renews its lease, and others are answered."""
    cluster, task = await start(tmp_path, max_reads=40, max_writes=20)
    admin, bob = cluster.client("admin", "system:masters"), cluster.client("bob", "flooders")
    rbac = "rbac.authorization.k8s.io"
    await admin.post(
        f"/apis/{rbac}/v1/clusterrolebindings",
        {
            "metadata": {"name": "all"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": rbac, "kind": "Group", "name": "system:authenticated"}],
        },
    )
    release, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slowly() -> Any:
        yield b"{"
        begun.release()
        await release.wait()
        yield b"}"

    async def flood() -> int:
        path = "/api/v1/namespaces/default/configmaps"
        headers = {"Content-Type": "application/json"}
        async with bob.request("POST", path, data=slowly(), headers=headers) as answer:
            return int(answer.status)

    floods = [asyncio.create_task(flood()) for _ in range(40)]
    for _ in floods:
        await begun.acquire()
    own = await bob.get("/api/v1/namespaces/default/configmaps?timeout=300ms")
    lease = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1"}}
    node = cluster.client("system:node:n1", "system:nodes")
    async with asyncio.timeout(3):
        renewed = await node.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease)
        other = await cluster.client("jane").get("/api/v1/namespaces/default/configmaps")
    release.set()
    codes = set(await asyncio.gather(*floods))
    await stop(cluster, task)
    assert (own.code, renewed.code, other.code) == (504, 201, 200)
    assert codes <= {400, 422, 429}


async def test_default_objects_and_dangling(kubectl: Kubectl, cluster: Cluster) -> None:
    """The default objects are there; a schema whose level does not exist says so, and matches nothing."""
    schemas = (await kubectl("get", "flowschemas", "--no-headers")).stdout
    levels = (await kubectl("get", "prioritylevelconfigurations", "--no-headers")).stdout
    assert (len(schemas.splitlines()), len(levels.splitlines())) == (13, 8)
    assert {line.split()[-1] for line in schemas.splitlines()} <= {"False", "?"}
    lost = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": "lost"},
        "spec": flow_schemas()[-1]["spec"]
        | {"matchingPrecedence": 3, "priorityLevelConfiguration": {"name": "nowhere"}},
    }
    admin = cluster.client("admin", "system:masters")
    await admin.post("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", lost)
    waited = await kubectl("wait", "flowschema/lost", "--for=condition=Dangling", "--timeout=5s")
    flow = cluster.server.guards.flow_control.schemas.flow_of(BOB, on("list", "pods"))
    assert (waited.code, flow and flow.schema) == (0, "global-default")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("32s", 32.0), ("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0), ("0", 0.0), ("0s", 0.0), ("-1s", -1.0)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are read as Go writes them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "why"), [("x", 'invalid duration "x"'), ("5", "missing unit"), ("1d", "invalid"), ("", "invalid")]
)
def test_bad_durations(text: str, why: str) -> None:
    """What is no duration is refused in Go's words."""
    with pytest.raises(ValueError, match=why):
        parse_duration(text)


async def test_timeouts(cluster: Cluster, admin: Client) -> None:
    """A request that takes longer than it gave itself is answered 504; a wrong timeout is told."""

    async def never() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    path = "/api/v1/namespaces/default/configmaps"
    headers = {"Content-Type": "application/json"}
    async with admin.request("POST", f"{path}?timeout=100ms", data=never(), headers=headers) as answer:
        late = answer.status, (await answer.json())["message"]
    wrong = await admin.get(f"{path}?timeout=x")
    fine = await admin.get(f"{path}?timeout=32s")
    assert late == (504, "Timeout: request did not complete within the allotted timeout")
    assert (wrong.code, fine.code) == (400, 200)
    assert wrong["message"].startswith("invalid timeout specified in the request URL")


FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest.mark.parametrize("resource", ["flowschemas", "prioritylevelconfigurations"])
async def test_a_mandatory_object_that_is_deleted_comes_back(admin: Client, resource: str) -> None:
    """Whoever deletes the exempt schema or level finds it made anew."""
    path = f"{FLOWS}/{resource}"
    before = await admin.get(f"{path}/exempt")
    watched = f"{path}?watch=true&fieldSelector=metadata.name%3Dexempt&resourceVersion=0&timeoutSeconds=15"
    seen: list[tuple[str, str]] = []
    async with admin.request("GET", watched) as watch:
        await admin.call("DELETE", f"{path}/exempt")
        async for line in watch.content:
            event = json.loads(line)
            seen.append((event["type"], event["object"]["metadata"]["uid"]))
            if event["type"] == "ADDED" and len(seen) > 1:
                break
    uid = before["metadata"]["uid"]
    assert [type for type, _ in seen if type != "MODIFIED"] == ["ADDED", "DELETED", "ADDED"]
    assert (seen[0][1], seen[-1][1] == uid) == (uid, False)


async def test_suggested_objects_are_put_right(cluster: Cluster) -> None:
    """A default schema that was changed is put right within a minute, unless its annotation says otherwise."""
    registry, clock = cluster.registry, VirtualClock()
    made: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def change(name: str, autoupdate: str) -> None:
        schema = copy(registry.decoded(registry.get(FlowSchema, "", name)))
        schema["metadata"]["annotations"][AUTOUPDATE] = autoupdate
        schema["spec"]["matchingPrecedence"] = 9123
        await registry.update(FlowSchema, "", name, schema, Context())

    def precedences() -> list[int]:
        names = ("global-default", "service-accounts")
        found = (registry.decoded(registry.get(FlowSchema, "", name)) for name in names)
        return [schema["spec"]["matchingPrecedence"] for schema in found]

    async def ensure() -> None:
        await keep_flows(registry)
        made.set_result(precedences())

    async with Tasks("test") as tasks:
        tasks.spawn(FlowKeeper(registry, clock, ensure).run(), "keeper")
        await clock.advance(SECONDS)
        await change("global-default", "true")
        await change("service-accounts", "false")
        await clock.advance(SECONDS - 1)
        waiting = precedences()
        await clock.advance(1)
        right = await made
    assert (waiting, right) == ([9123, 9123], [9900, 9123])
