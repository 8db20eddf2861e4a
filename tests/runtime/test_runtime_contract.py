"""What every runtime promises, asked of the simulated one and of containerd."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import ENDLESS, STUBBORN, Subject

from minikube_py.runtime.base import (
    ImagePullFailed,
    Mount,
    NamespaceOptions,
    Resources,
    RuntimeEvent,
    RuntimeFailed,
    RuntimeNotFound,
    RuntimeUnavailable,
)
from minikube_py.runtime.oci import File, Recipe, write_archive


async def until(events: AsyncIterator[RuntimeEvent], type: str, id: str) -> RuntimeEvent:
    """The first event of `type` about `id`."""
    async for event in events:
        if (event.type, event.container_id) == (type, id):
            return event
    raise AssertionError("the events ended")


async def test_a_sandbox_is_ready_with_an_address_until_it_is_stopped(subject: Subject) -> None:
    """run gives a ready sandbox with one address; stop makes it notready; remove makes it unknown."""
    sandboxes = subject.runtime.sandboxes
    id = await sandboxes.run(subject.sandbox(labels={"app": "web"}, annotations={"note": "x"}, attempt=2))
    status = await sandboxes.status(id)
    assert (status.id, status.name, status.namespace, status.uid, status.attempt) == (
        id,
        "web",
        "default",
        "uid-web",
        2,
    )
    assert (status.state, len(status.ips), status.network_namespace_is_host) == ("ready", 1, False)
    assert (status.labels, status.annotations) == ({"app": "web"}, {"note": "x"})
    assert abs(status.created_at - time.time()) < 30
    assert [(listed.id, listed.state) for listed in await sandboxes.list()] == [(id, "ready")]
    await sandboxes.stop(id)
    assert (await sandboxes.status(id)).state == "notready"
    await sandboxes.stop(id)
    await sandboxes.remove(id)
    await sandboxes.remove(id)
    assert await sandboxes.list() == ()
    with pytest.raises(RuntimeNotFound):
        await sandboxes.status(id)


async def test_two_sandboxes_have_two_addresses(subject: Subject) -> None:
    """Each sandbox gets an address of its own."""
    sandboxes = subject.runtime.sandboxes
    ids = [await sandboxes.run(subject.sandbox(name)) for name in ("one", "two")]
    assert len({(await sandboxes.status(id)).ips for id in ids}) == 2


async def test_a_sandbox_on_the_hosts_network_says_so(subject: Subject) -> None:
    """With host_network the sandbox has no address of its own."""
    sandboxes = subject.runtime.sandboxes
    id = await sandboxes.run(subject.sandbox(namespaces=NamespaceOptions(host_network=True)))
    status = await sandboxes.status(id)
    assert (status.network_namespace_is_host, status.ips) == (True, ())


async def test_the_name_of_a_sandbox_is_reserved(subject: Subject) -> None:
    """The same pod and attempt cannot run twice."""
    await subject.runtime.sandboxes.run(subject.sandbox())
    with pytest.raises(RuntimeFailed, match="reserve"):
        await subject.runtime.sandboxes.run(subject.sandbox())


async def test_a_container_goes_from_created_to_running_to_exited(subject: Subject) -> None:
    """Each state comes with its time; a stopped container keeps its exit code until it is removed."""
    containers = subject.runtime.containers
    sandbox = subject.sandbox()
    sandbox_id = await subject.runtime.sandboxes.run(sandbox)
    config = subject.container(
        ENDLESS,
        attempt=3,
        labels={"io.kubernetes.container.name": "main"},
        annotations={"hash": "1"},
        log_path="main/3.log",
        mounts=[Mount("/etc", "/host-etc", read_only=True)],
    )
    id = await containers.create(sandbox_id, config, sandbox)
    created = await containers.status(id)
    assert (created.state, created.sandbox_id, created.name, created.attempt) == (
        "created",
        sandbox_id,
        "main",
        3,
    )
    assert (created.started_at, created.finished_at, created.image) == (0.0, 0.0, subject.image)
    assert created.log_path == f"{sandbox.log_directory}/main/3.log"
    assert created.mounts == (Mount("/etc", "/host-etc", read_only=True),)
    await containers.start(id)
    running = await containers.status(id)
    assert (running.state, running.finished_at) == ("running", 0.0)
    assert created.created_at <= running.started_at <= time.time() + 1
    [listed] = await containers.list()
    assert (listed.id, listed.sandbox_id, listed.state, listed.image_id) == (
        id,
        sandbox_id,
        "running",
        running.image_id,
    )
    assert (listed.labels, listed.annotations) == ({"io.kubernetes.container.name": "main"}, {"hash": "1"})
    await containers.stop(id, 10)
    exited = await containers.status(id)
    assert (exited.state, exited.exit_code, exited.reason) == ("exited", 143, "Error")
    assert exited.finished_at >= exited.started_at
    await containers.stop(id, 10)
    await containers.remove(id)
    await containers.remove(id)
    assert await containers.list() == ()
    with pytest.raises(RuntimeNotFound):
        await containers.status(id)


@pytest.mark.parametrize(("code", "reason"), [(0, "Completed"), (3, "Error")])
async def test_an_exit_is_an_event_and_a_status(subject: Subject, code: int, reason: str) -> None:
    """A container that ends by itself is told of, with its exit code."""
    events = subject.runtime.monitor.events()
    id = await subject.start(subject.container(f"exit {code}"))
    assert await until(events, "exited", id) == RuntimeEvent("exited", id, code)
    status = await subject.runtime.containers.status(id)
    assert (status.state, status.exit_code, status.reason) == ("exited", code, reason)


async def test_a_start_is_an_event(subject: Subject) -> None:
    """A start is told of, for the sandbox and for the container."""
    events = subject.runtime.monitor.events()
    id = await subject.start(subject.container())
    sandbox_id = (await subject.runtime.containers.status(id)).sandbox_id
    assert await until(events, "started", sandbox_id) == RuntimeEvent("started", sandbox_id)
    assert await until(events, "started", id) == RuntimeEvent("started", id)


async def test_a_container_that_ignores_the_signal_is_killed_after_the_grace(subject: Subject) -> None:
    """stop returns only after the grace, and the exit code is that of SIGKILL."""
    id = await subject.start(subject.container(STUBBORN))
    before = time.monotonic()
    await subject.runtime.containers.stop(id, 1)
    assert time.monotonic() - before >= 0.95
    assert (await subject.runtime.containers.status(id)).exit_code == 137


async def test_no_grace_kills_at_once(subject: Subject) -> None:
    """A grace of 0 sends SIGKILL straight away."""
    id = await subject.start(subject.container(STUBBORN))
    await subject.runtime.containers.stop(id, 0)
    assert (await subject.runtime.containers.status(id)).exit_code == 137


async def test_stopping_a_sandbox_kills_its_containers(subject: Subject) -> None:
    """No container outlives its sandbox; both exits are told of."""
    events = subject.runtime.monitor.events()
    id = await subject.start(subject.container(STUBBORN))
    sandbox_id = (await subject.runtime.containers.status(id)).sandbox_id
    await subject.runtime.sandboxes.stop(sandbox_id)
    assert await until(events, "exited", id) == RuntimeEvent("exited", id, 137)
    assert (await subject.runtime.containers.status(id)).state == "exited"
    await subject.runtime.sandboxes.remove(sandbox_id)
    assert await subject.runtime.containers.list() == ()


async def test_a_container_needs_an_image_at_hand(subject: Subject) -> None:
    """An image that is not there is refused at creation."""
    sandbox = subject.sandbox()
    sandbox_id = await subject.runtime.sandboxes.run(sandbox)
    with pytest.raises(RuntimeNotFound):
        await subject.runtime.containers.create(
            sandbox_id, subject.container(image="minikube-py.local/nothing:1"), sandbox
        )


async def test_a_container_needs_a_sandbox(subject: Subject) -> None:
    """An unknown sandbox is refused."""
    with pytest.raises(RuntimeNotFound):
        await subject.runtime.containers.create("0" * 64, subject.container(), subject.sandbox())


async def test_exec_sync_gives_output_and_exit_code(subject: Subject) -> None:
    """A command's output and code come back."""
    id = await subject.start(subject.container())
    streams = subject.runtime.streams
    echoed = await streams.exec_sync(id, subject.command("echo hello"), 10)
    assert (echoed.stdout, echoed.stderr, echoed.exit_code) == (b"hello\n", b"", 0)
    assert (await streams.exec_sync(id, subject.command("exit 7"), 10)).exit_code == 7


async def test_exec_sync_ends_after_its_timeout(subject: Subject) -> None:
    """A command that takes too long is ended with TimeoutError."""
    id = await subject.start(subject.container())
    with pytest.raises(TimeoutError):
        await subject.runtime.streams.exec_sync(id, subject.command("sleep 60"), 1)
    assert (await subject.runtime.containers.status(id)).state == "running"


async def test_exec_needs_a_running_container(subject: Subject) -> None:
    """Neither an unknown nor an ended container runs a command."""
    with pytest.raises(RuntimeNotFound):
        await subject.runtime.streams.exec_sync("0" * 64, subject.command("echo"), 10)
    id = await subject.start(subject.container())
    await subject.runtime.containers.stop(id, 0)
    with pytest.raises(RuntimeFailed):
        await subject.runtime.streams.exec_sync(id, subject.command("echo"), 10)


async def test_exec_starts_a_process(subject: Subject) -> None:
    """A command's output and exit code are read from its process, as often as wanted."""
    id = await subject.start(subject.container())
    command = subject.command("echo hello")
    process = await subject.runtime.streams.exec(id, command, stdin=False, stdout=True, stderr=True, tty=False)
    output = b""
    while data := await process.read("stdout"):
        output += data
    assert (output, await process.read("stdout"), await process.read("stderr")) == (b"hello\n", b"", b"")
    assert (await process.wait(), await process.wait()) == (0, 0)
    await process.close()


async def test_attach_is_a_url(subject: Subject) -> None:
    """attach gives a loopback URL; a port on which nothing listens refuses connections."""
    id = await subject.start(subject.container())
    sandbox_id = (await subject.runtime.containers.status(id)).sandbox_id
    streams = subject.runtime.streams
    url = await streams.attach(id, stdin=False, stdout=True, stderr=True, tty=False)
    assert (url.rsplit(":", 1)[0], url.split("/")[3]) == ("http://127.0.0.1", "attach")
    with pytest.raises(OSError, match="80"):
        await streams.connect(sandbox_id, 80)


async def test_images_are_loaded_listed_and_removed(subject: Subject, tmp_path: Path) -> None:
    """A loaded image is known by its name, its short name and its id, until it is removed."""
    archive = tmp_path / "page.tar"
    [id] = write_archive(archive, [Recipe("page:2", files={"/page": File(b"hello")})])
    images = subject.runtime.images
    assert await images.load(archive) == ("docker.io/library/page:2",)
    assert await images.load(archive) == ("docker.io/library/page:2",)
    known = [await images.status(name) for name in ("page:2", "docker.io/library/page:2", id)]
    assert [image and image.id for image in known] == [id, id, id]
    assert [image.tags for image in await images.list() if image.id == id] == [("docker.io/library/page:2",)]
    await images.remove("page:2")
    await images.remove("page:2")
    assert await images.status(id) is None


async def test_a_new_build_takes_the_name_over(subject: Subject, tmp_path: Path) -> None:
    """Loading another image under the same name makes the name mean the new one."""
    ids = []
    for text in (b"old", b"new"):
        archive = tmp_path / "page.tar"
        ids += write_archive(archive, [Recipe("page:1", files={"/page": File(text)})])
        await subject.runtime.images.load(archive)
    image = await subject.runtime.images.status("page:1")
    assert (image and image.id) == ids[1]


async def test_a_damaged_archive_is_refused(subject: Subject, tmp_path: Path) -> None:
    """What is no image archive is told to be none."""
    archive = tmp_path / "broken.tar"
    archive.write_bytes(b"not a tar")
    with pytest.raises(RuntimeFailed, match=r"broken\.tar"):
        await subject.runtime.images.load(archive)


async def test_a_pull_that_fails_says_why(subject: Subject) -> None:
    """A registry that does not answer gives ImagePullFailed with the image's name."""
    with pytest.raises(ImagePullFailed, match="nothing"):
        await subject.runtime.images.pull("127.0.0.1:1/nothing:1")
    with pytest.raises(ImagePullFailed, match="parse image reference"):
        await subject.runtime.images.pull("UPPER//case")


async def test_the_runtime_tells_of_itself(subject: Subject) -> None:
    """info has name and version; a running container has statistics and takes new limits and a new log."""
    info = await subject.runtime.monitor.info()
    assert (info.ready, info.network_ready, info.message) == (True, True, "")
    assert info.name in ("containerd", "simulated")
    assert info.version.split(".")[0].isdigit()
    id = await subject.start(subject.container(log_path="main.log"))
    [stats] = await subject.runtime.monitor.stats()
    assert stats.container_id == id
    assert stats.memory_working_set > 0
    await subject.runtime.monitor.update_resources(id, Resources(memory=64 << 20, cpu_shares=512))
    applied = (await subject.runtime.containers.status(id)).applied
    assert applied is not None
    assert (applied.memory, applied.cpu_shares) == (64 << 20, 512)
    await subject.runtime.monitor.reopen_log(id)


async def test_closing_the_runtime_ends_the_events(subject: Subject) -> None:
    """A reader of events is told with RuntimeUnavailable when the connection is closed under it."""
    events = subject.runtime.monitor.events()
    await subject.start(subject.container())
    await anext(events)
    await subject.runtime.close()
    with pytest.raises(RuntimeUnavailable):
        async for _ in events:
            pass
