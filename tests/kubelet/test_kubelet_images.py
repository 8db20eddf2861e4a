"""Images of containers: whose credentials are tried, when is pulled and how often, and what the events say."""

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from kubelet_node import Node, pod_object

from minikube_py.aio.clock import VirtualClock
from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.images.keyring import BadAuth, credentials_for, registry_key
from minikube_py.kubelet.images.puller import ImagePuller, ImageRefused
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import Credentials, Image, ImagePullFailed

POD: Obj = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": {}}
ME, YOU = Credentials("me", "word"), Credentials("you", "p")


def secret(*servers: str, user: str = "me", password: str = "word", nested: bool = True) -> Obj:
    """A pull secret with one login for each of `servers`."""
    auth = b64encode(f"{user}:{password}".encode()).decode()
    entries = {server: {"auth": auth} for server in servers}
    content = b64encode(orjson.dumps({"auths": entries} if nested else entries)).decode()
    kind = "dockerconfigjson" if nested else "dockercfg"
    return {"type": f"kubernetes.io/{kind}", "data": {f".{kind}": content}}


@pytest.mark.parametrize(
    ("server", "image"),
    [
        ("registry.io", "registry.io/team/web"),
        ("https://registry.io", "registry.io/team/web"),
        ("http://registry.io/", "registry.io/team/web"),
        ("https://registry.io/v2/", "registry.io/team/web"),
        ("registry.io/team", "registry.io/team/web"),
        ("registry.io/te", "registry.io/team/web"),
        ("*.registry.io", "eu.registry.io/web"),
        ("eu*.registry.io", "eu-1.registry.io/web"),
        ("registry.io:5000", "registry.io:5000/web"),
        ("docker.io", "docker.io/library/web"),
        ("https://index.docker.io/v1/", "docker.io/library/web"),
        ("index.docker.io", "docker.io/library/web"),
    ],
)
def test_a_key_serves_an_image(server: str, image: str) -> None:
    """Hosts, wildcards, ports and paths of a docker config that are for an image."""
    assert credentials_for(image, [secret(server)]) == [ME]


@pytest.mark.parametrize(
    ("server", "image"),
    [
        ("registry.io", "other.io/web"),
        ("registry.io", "registry.io:5000/web"),
        ("registry.io:5000", "registry.io/web"),
        ("registry.io/other", "registry.io/team/web"),
        ("*.io", "eu.registry.io/web"),
        ("*.registry.io", "registry.io/web"),
        ("https://index.docker.io/v1/", "registry.io/library/web"),
    ],
)
def test_a_key_is_for_others(server: str, image: str) -> None:
    """What is not for an image is not sent to its registry."""
    assert credentials_for(image, [secret(server)]) == []


def test_order_of_credentials() -> None:
    """The more specific key comes first, then the order of the secrets, then the node's own; none twice."""
    node = {"auths": {"registry.io": {"username": "node", "password": "n"}, "registry.io/t": {"auth": ""}}}
    secrets = [secret("registry.io"), secret("registry.io", "registry.io/team", user="you", password="p")]
    found = credentials_for("registry.io/team/web", secrets, orjson.dumps(node))
    assert found == [YOU, ME, Credentials(), Credentials("node", "n")]


def test_forms_of_secrets() -> None:
    """The old form is read too; a secret of another type, or a damaged one, helps nobody."""
    damaged: list[Obj] = [
        {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": b64encode(b"not json").decode()}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": b64encode(b"[]").decode()}},
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "%"}},
        {"type": "Opaque", "data": secret("registry.io", user="you")["data"]},
    ]
    assert credentials_for("registry.io/web", [*damaged, secret("registry.io", nested=False)]) == [ME]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("bWU6eA==", Credentials("me", "x")),
        ("bWU6eA", Credentials("me", "x")),
        ("bW#U6eA==", "illegal base64 data at input byte 2"),
        ("bWU6e", "illegal base64 data at input byte 5"),
        ("bWU=", "unable to parse auth field, must be formatted as base64(username:password)"),
    ],
)
def test_auth_of_a_secret(auth: str, expected: Credentials | str) -> None:
    """What is no user and password is an error of its own, in a secret; the node's own config is left out."""
    config = orjson.dumps({"auths": {"registry.io": {"auth": auth}}})
    entry = {
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": b64encode(config).decode()},
    }
    try:
        found: Credentials | str = credentials_for("registry.io/web", [entry])[0]
    except BadAuth as error:
        found = str(error)
    assert found == expected
    assert credentials_for("registry.io/web", [], config) == (
        [expected] if isinstance(expected, Credentials) else []
    )


def test_keys_are_hosts_with_paths() -> None:
    """The version of an old registry's API is no path."""
    keys = [registry_key(text) for text in ("https://a.io/v1/", "a.io/v2/x", "http://a.io", "a.io/team/")]
    assert keys == ["a.io", "a.io/x", "a.io", "a.io/team/"]


class Registry:
    """Images in place of a runtime's: pulls wait until they are let go; who has `word` may pull."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.pulls: list[tuple[str, Credentials | None]] = []
        self.active = self.most = 0
        self.open = asyncio.Event()
        self.open.set()
        self.have: dict[str, Image] = {}
        self.asked = 0
        self.password = ""

    async def pull(self, reference: str, credentials: Credentials | None = None) -> Image:
        self.pulls.append((reference, credentials))
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await self.open.wait()
            await self.clock.sleep(1.2345)
        finally:
            self.active -= 1
        if self.password and (credentials is None or credentials.password != self.password):
            raise ImagePullFailed(f"denied to {credentials.username if credentials else 'nobody'}")
        return Image("sha256:1", (reference,), (), 4711)

    async def status(self, reference: str) -> Image | None:
        self.asked += 1
        return self.have.get(reference)

    async def list(self) -> Sequence[Image]:
        return ()

    async def remove(self, reference: str) -> None:
        self.have.pop(reference, None)

    async def load(self, archive: Path, *, pinned: bool = False) -> Sequence[str]:
        return ()


class World:
    """A puller with its registry; `events` are what pods were told."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.registry = Registry(self.clock)
        self.puller = ImagePuller(self.registry, self.clock, parallel=2)
        self.events: list[tuple[str, str, str]] = []

    def tell(self, type: str, reason: str, message: str) -> None:
        self.events.append((type, reason, message))

    async def ensure(self, image: str, *secrets: Obj, policy: str = "", pod: Obj = POD) -> Image | str:
        """The image, or the reason for which it is refused with the message."""
        container = {"name": "main", "image": image} | ({"imagePullPolicy": policy} if policy else {})
        try:
            return await self.puller.ensure(pod, container, secrets, self.tell)
        except ImageRefused as refusal:
            return f"{refusal.reason}: {refusal.message}"

    async def together(self, *images: str) -> list[Image | str]:
        """Ensure several at once, and let time pass until they are there."""
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self.ensure(image)) for image in images]
            for _ in range(20):
                await asyncio.sleep(0.002)
                await self.clock.advance(1)
        return [task.result() for task in asked]


async def test_events_of_a_pull() -> None:
    """A pull tells of its begin, and of its end with time and size in Go's words."""
    world = World()
    await world.together("registry.io/web:1")
    assert world.events == [
        ("Normal", "Pulling", 'Pulling image "registry.io/web:1"'),
        (
            "Normal",
            "Pulled",
            'Successfully pulled image "registry.io/web:1" in 1.234s (1.234s including waiting). '
            "Image size: 4711 bytes.",
        ),
    ]


@pytest.mark.parametrize(
    ("image", "policy", "present", "pulled", "last"),
    [
        ("web:1", "", True, 0, 'Container image "web:1" already present on machine'),
        ("web:1", "IfNotPresent", True, 0, 'Container image "web:1" already present on machine'),
        ("web:1", "Never", True, 0, 'Container image "web:1" already present on machine'),
        ("web:1", "Never", False, 0, 'Container image "web:1" is not present with pull policy of Never'),
        ("web:1", "Always", True, 1, "Successfully"),
        ("web", "", True, 1, "Successfully"),
        ("web:latest", "", True, 1, "Successfully"),
        ("web:1", "", False, 1, "Successfully"),
        ("web@sha256:" + "1" * 64, "", True, 0, "Container image"),
        ("web:latest@sha256:" + "1" * 64, "", True, 0, "Container image"),
        ("Web", "", False, 0, 'Failed to apply default image tag "Web": couldn\'t parse image name'),
    ],
)
async def test_policies(image: str, policy: str, present: bool, pulled: int, last: str) -> None:
    """What each policy pulls; without one the tag decides."""
    world = World()
    if present:
        world.registry.have[image] = Image("sha256:1", (image,), (), 1)
    container = {"name": "main", "image": image} | ({"imagePullPolicy": policy} if policy else {})
    work = asyncio.ensure_future(world.ensure(image, policy=container.get("imagePullPolicy", "")))
    for _ in range(10):
        await asyncio.sleep(0.002)
        await world.clock.advance(1)
    await work
    assert (len(world.registry.pulls), world.events[-1][2][: len(last)]) == (pulled, last)


async def test_pods_that_start_at_once_share_what_is_known() -> None:
    """That an image is there is asked once in a fifth of a second; that it is not, each time."""
    world = World()
    world.registry.have["web:1"] = Image("sha256:1", ("web:1",), (), 1)
    for _ in range(5):
        assert await world.ensure("web:1", policy="Never") == world.registry.have["web:1"]
    assert (world.registry.asked, len(world.events)) == (1, 5)
    await world.registry.remove("web:1")
    await world.clock.advance(0.2)
    for _ in range(2):
        assert str(await world.ensure("web:1", policy="Never")).startswith("ErrImageNeverPull")
    assert world.registry.asked == 3


async def test_pulls_are_capped_and_shared() -> None:
    """At most two pulls at once, and one pull for one image however many containers wait for it."""
    world = World()
    await world.together("a.io/a:1", "a.io/b:1", "a.io/c:1", "a.io/a:1", "a.io/a:1")
    names = sorted(name for name, _ in world.registry.pulls)
    assert (names, world.registry.most) == (["a.io/a:1", "a.io/b:1", "a.io/c:1"], 2)


async def test_credentials_are_tried_in_order() -> None:
    """The first that the registry takes wins; what all of them met is told together."""
    world = World()
    world.registry.password = "right"
    wrong = secret("a.io", user="one", password="no"), secret("a.io", user="two", password="no")
    right = secret("a.io", user="three", password="right")

    async def ensured(*secrets: Obj) -> Image | str:
        work = asyncio.ensure_future(world.ensure("a.io/web:1", *secrets))
        for _ in range(20):
            await asyncio.sleep(0.002)
            await world.clock.advance(1)
        return await work

    assert isinstance(await ensured(*wrong, right), Image)
    assert [c.username for _, c in world.registry.pulls if c] == ["one", "two", "three"]
    assert await ensured(*wrong) == "ErrImagePull: [denied to one, denied to two]"


async def test_backoff_doubles_per_pod_and_image() -> None:
    """After a failed pull the pod waits 10 s, then 20 s, and is told what failed; another pod does not."""
    world = World()
    world.registry.password = "right"

    async def ensured(pod: Obj = POD) -> Image | str:
        work = asyncio.ensure_future(world.ensure("a.io/web:1", pod=pod))
        for _ in range(6):
            await asyncio.sleep(0.002)
            await world.clock.advance(0.5)
        return await work

    waits = 'ImagePullBackOff: Back-off pulling image "a.io/web:1": ErrImagePull: denied to nobody'
    seen = [await ensured(), await ensured()]
    await world.clock.advance(8)
    seen += [await ensured(), await ensured()]
    await world.clock.advance(10)
    seen += [await ensured()]
    assert seen == ["ErrImagePull: denied to nobody", waits, "ErrImagePull: denied to nobody", waits, waits]
    assert ("Normal", "BackOff", 'Back-off pulling image "a.io/web:1"') in world.events
    other = {"metadata": {"name": "x", "namespace": "default", "uid": "v"}, "spec": {}}
    assert await ensured(other) == "ErrImagePull: denied to nobody"


async def test_missing_pull_secrets_are_told(node: Node) -> None:
    """A pod whose pull secret does not exist says so, and its image is pulled without."""
    node.runtime.images.pulls["docker.io/library/none:1"] = ""
    spec = pod_object(containers=[{"name": "main", "image": "none:1"}], imagePullSecrets=[{"name": "gone"}])
    await node.client.create(Pod, spec)
    await node.running()
    told = "Unable to retrieve some image pull secrets (gone); attempting to pull the image may not succeed."
    assert ("FailedToRetrieveImagePullSecret", told) in node.events()
