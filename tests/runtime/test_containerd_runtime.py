"""What only containerd can show: that each field lands where Kubernetes means it to, in real containers."""

import asyncio
import gzip
import hashlib
import os
import signal
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest
from conftest import ENDLESS, STUBBORN, Subject

from minikube_py.aio.process import run_blocking
from minikube_py.cluster import leftovers
from minikube_py.runtime import oci, pause
from minikube_py.runtime.base import (
    Container,
    Device,
    Mount,
    NamespaceOptions,
    PortMapping,
    Process,
    Resources,
    RuntimeEvent,
    RuntimeFailed,
    RuntimeUnavailable,
    SandboxConfig,
    Security,
)
from minikube_py.runtime.containerd import Containerd, oom_score_floor
from minikube_py.runtime.convert import MASKED_PATHS
from minikube_py.testing.containerd import PrivateContainerd, busybox_recipe

pytestmark = pytest.mark.containerd


async def ended(subject: Subject, id: str, events: AsyncIterator[RuntimeEvent]) -> Container:
    """The container's status once it has ended."""
    async for event in events:
        if (event.type, event.container_id) == ("exited", id):
            break
    return await subject.runtime.containers.status(id)


async def output(
    subject: Subject, words: str, sandbox: SandboxConfig | None = None, **settings: object
) -> list[str]:
    """What a container that runs `words` prints, by its CRI log."""
    events = subject.runtime.monitor.events()
    id = await subject.start(subject.container(words, log_path="out.log", **settings), sandbox)
    status = await ended(subject, id, events)
    lines = Path(status.log_path).read_text().splitlines()
    return [line.split(" ", 3)[3] for line in lines]


async def test_environment_arguments_and_folder(real: Subject) -> None:
    """Environment, command, arguments and working directory reach the process."""
    printed = await output(
        real,
        "",
        command=["/bin/sh", "-c"],
        args=['echo "$GREETING"; pwd; hostname'],
        env=[("GREETING", "hello world"), ("EMPTY", "")],
        working_dir="/tmp",
    )
    assert printed == ["hello world", "/tmp", "web"]


async def test_the_log_tells_stream_and_partial_lines(real: Subject) -> None:
    """The log is in CRI's format: time, stream, F or P, text."""
    events = real.runtime.monitor.events()
    id = await real.start(real.container("echo out; echo err >&2; printf rest", log_path="main/0.log"))
    await ended(real, id, events)
    log = real.logs / "web" / "main" / "0.log"
    lines = sorted(line.split(" ", 1)[1] for line in log.read_text().splitlines())
    assert lines == ["stderr F err", "stdout F out", "stdout P rest"] or lines == [
        "stderr F err",
        "stdout F out",
        "stdout F rest",
    ]


async def test_dns_and_sysctls_of_the_pod(real: Subject) -> None:
    """resolv.conf is what the pod was given, and safe sysctls are set in its namespace."""
    sandbox = real.sandbox(
        dns_servers=["10.96.0.10"],
        dns_searches=["default.svc.cluster.local", "svc.cluster.local"],
        dns_options=["ndots:5"],
        sysctls={"net.ipv4.ip_local_port_range": "40000 50000"},
        ports=[PortMapping(80, 0)],
    )
    printed = await output(
        real, "cat /etc/resolv.conf; cat /proc/sys/net/ipv4/ip_local_port_range", sandbox=sandbox
    )
    assert [line.replace("\t", " ") for line in printed] == [
        "search default.svc.cluster.local svc.cluster.local",
        "nameserver 10.96.0.10",
        "options ndots:5",
        "40000 50000",
    ]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a shared mount, as propagation needs."""
    folder = tmp_path / "shared"
    folder.mkdir()
    run_blocking(["mount", "--bind", str(folder), str(folder)])
    run_blocking(["mount", "--make-shared", str(folder)])
    yield folder
    leftovers.unmount_all([folder])


async def test_mounts_are_read_only_or_not(real: Subject, tmp_path: Path) -> None:
    """A bind mount shows the host's files; read-only refuses writes."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "page").write_text("hello\n")
    words = "cat /ro/page; touch /ro/x 2>/dev/null || echo refused; touch /rw/made"
    data = str(tmp_path / "data")
    printed = await output(real, words, mounts=[Mount(data, "/ro", read_only=True), Mount(data, "/rw")])
    assert printed == ["hello", "refused"]
    assert (tmp_path / "data" / "made").exists()


async def test_mounts_propagate_as_asked(real: Subject, shared: Path) -> None:
    """HostToContainer follows the node's peer group, Bidirectional is of it, None neither, as mountinfo tells
    (newer runtimes give the first two groups of their own as well)."""
    kinds = ("None", "HostToContainer", "Bidirectional")
    mounts = [Mount(str(shared), f"/{kind}", propagation=kind) for kind in kinds]
    printed = await output(
        real,
        "grep -E '/(None|HostToContainer|Bidirectional) ' /proc/self/mountinfo",
        sandbox=real.sandbox(privileged=True),
        mounts=mounts,
        security=Security(privileged=True),
    )
    own = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {shared} " in line)
    group = next(tag for tag in own.split() if tag.startswith("shared:"))
    follows = group.replace("shared", "master")
    tags = {line.split()[4]: (group in line.split(), follows in line.split()) for line in printed}
    assert tags == {"/None": (False, False), "/HostToContainer": (False, True), "/Bidirectional": (True, False)}


async def test_security_context(real: Subject) -> None:
    """User, groups, capabilities, no_new_privs, seccomp, and a read-only root are the process's own."""
    words = (
        "id -u; id -g; id -G; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; "
        "touch /file 2>/dev/null || echo read-only"
    )
    security = Security(
        run_as_user=1000,
        run_as_group=2000,
        supplemental_groups=(3000,),
        read_only_rootfs=True,
        no_new_privileges=True,
        drop_capabilities=("ALL",),
        seccomp="RuntimeDefault",
    )
    printed = await output(real, words, security=security)
    assert [line.replace("\t", " ") for line in printed] == [
        "1000",
        "2000",
        "2000 3000",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "read-only",
    ]


async def test_capabilities_and_paths_by_default(real: Subject) -> None:
    """A plain container has containerd's default capabilities, hides masked files and cannot write sysctls."""
    masked = next(path for path in MASKED_PATHS if Path(path).is_file())
    words = (
        f"grep CapEff /proc/self/status; wc -c < {masked}; "
        "touch /proc/sys/kernel/printk 2>&1 | grep -o Read-only; touch /proc/irq/x 2>&1 | grep -o Read-only"
    )
    printed = await output(real, words)
    assert printed[:2] == ["CapEff:\t00000000a80425fb", "0"]
    assert "Read-only" in printed[2:]


async def test_a_privileged_container_has_everything(real: Subject) -> None:
    """Privileged means every capability that this machine has, and the host's devices."""
    sandbox = real.sandbox(privileged=True)
    words = "grep CapEff /proc/self/status; test -e /dev/kmsg && echo devices"
    printed = await output(real, words, sandbox=sandbox, security=Security(privileged=True))
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    assert printed == [own, "devices"]


async def test_a_user_by_name_and_a_device(real: Subject) -> None:
    """run_as_username is looked up in the image; a device appears where asked."""
    printed = await output(
        real,
        "whoami; test -c /dev/nothing && echo device",
        security=Security(run_as_username="web"),
        devices=[Device("/dev/null", "/dev/nothing", "rw")],
    )
    assert printed == ["web", "device"]


def cgroup_value(cgroup: str, controller: str, v1: str, v2: str) -> str:
    """One value of a cgroup, whichever version the machine has."""
    root = Path("/sys/fs/cgroup")
    unified = (root / "cgroup.controllers").exists()
    return (
        (root / cgroup.strip("/") / v2 if unified else root / controller / cgroup.strip("/") / v1)
        .read_text()
        .strip()
    )


async def test_limits_are_the_cgroups(real: Subject) -> None:
    """Memory, CPU quota and shares are set on a cgroup below the pod's; an update changes them."""
    limits = Resources(cpu_shares=512, cpu_quota=50_000, cpu_period=100_000, memory=64 << 20, oom_score_adj=900)
    id = await real.start(real.container(resources=limits))
    cgroup = f"{real.cgroup}/web/{id}"
    assert cgroup_value(cgroup, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert cgroup_value(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    [pid] = cgroup_value(cgroup, "memory", "cgroup.procs", "cgroup.procs").split()[:1]
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "900"
    await real.runtime.monitor.update_resources(id, Resources(cpu_shares=512, memory=128 << 20))
    assert cgroup_value(cgroup, "memory", "memory.limit_in_bytes", "memory.max") == str(128 << 20)


async def test_a_low_oom_score_is_raised_where_it_cannot_be_given(real: Subject) -> None:
    """A guaranteed container starts on machines that lack CAP_SYS_RESOURCE too."""
    id = await real.start(real.container(resources=Resources(oom_score_adj=-997)))
    [pid] = cgroup_value(f"{real.cgroup}/web/{id}", "memory", "cgroup.procs", "cgroup.procs").split()[:1]
    given = int(Path(f"/proc/{pid}/oom_score_adj").read_text())
    assert given == max(-997, oom_score_floor(Path("/proc/self")))


async def test_out_of_memory_is_an_event_and_a_reason(real: Subject) -> None:
    """A container over its memory is killed; event and reason say so."""
    events = real.runtime.monitor.events()
    id = await real.start(
        real.container("head -c 100000000 /dev/zero | tail", resources=Resources(memory=8 << 20))
    )
    seen = []
    async for event in events:
        if event.container_id == id and event.type in ("oom", "exited"):
            seen.append(event.type)
        if {"oom", "exited"} <= set(seen):
            break
    assert (await real.runtime.containers.status(id)).reason in ("OOMKilled", "Error")


async def test_an_end_is_told_before_its_exit_with_all_output_read(real: Subject) -> None:
    """What ends by itself is told twice: the end, when its log is whole, and the exit, when CRI knows of it."""
    events = real.runtime.monitor.events()
    config = real.container("sleep 0.3; head -c 300000 /dev/zero | tr '\\0' x; exit 3", log_path="out.log")
    id = await real.start(config)
    log = Path((await real.runtime.containers.status(id)).log_path)
    told = []
    async for event in events:
        if event.container_id != id or event.type not in ("ended", "exited"):
            continue
        told.append((event.type, event.exit_code, log.read_bytes().count(b"x")))
        if event.type == "exited":
            break
    assert told == [("ended", 3, 300000), ("exited", 3, 300000)]
    assert (await real.runtime.containers.status(id)).finished_at == pytest.approx(event.finished_at, abs=1e-3)


async def exit_of(events: AsyncIterator[RuntimeEvent]) -> RuntimeEvent:
    """The first event but those that an exit is known by earlier."""
    return await anext(event async for event in events if event.type != "ended")


async def test_the_end_of_a_command_is_no_event(real: Subject) -> None:
    """Exits of exec'd processes are not told of; the container's own is."""
    id = await real.start(real.container(ENDLESS))
    events = real.runtime.monitor.events()
    assert (await real.runtime.streams.exec_sync(id, ["/bin/sh", "-c", "exit 5"], 10)).exit_code == 5
    await real.runtime.containers.stop(id, 5)
    assert await exit_of(events) == RuntimeEvent("exited", id, 143)


async def test_each_stream_of_a_command_lives_for_itself(real: Subject) -> None:
    """A command whose only holder of stdout puts it elsewhere reads its input to the end; one that cannot be
    started says why."""
    id, streams = await real.start(real.container(ENDLESS)), real.runtime.streams
    data = os.urandom(1 << 20)

    async def process(*argv: str) -> Process:
        return await streams.exec(id, argv, stdin=True, stdout=True, stderr=True, tty=False)

    into = await process("/bin/sh", "-c", "exec cat > /tmp/kept")
    assert await into.read("stdout") == b""
    await into.write(data)
    await into.close_stdin()
    assert await into.wait() == 0
    await into.close()
    kept = await streams.exec_sync(id, ["/bin/busybox", "sha256sum", "/tmp/kept"], 10)
    assert kept.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    with pytest.raises(RuntimeFailed, match=r"failed to exec in container.*nothing"):
        await process("/bin/nothing")


async def test_a_left_terminal_does_not_hang_up(real: Subject) -> None:
    """A command with a terminal runs on after its client has gone."""
    id = await real.start(real.container(ENDLESS))
    streams = real.runtime.streams
    script = "/bin/busybox mkfifo /tmp/go /tmp/done; echo begun; read word < /tmp/go; echo $word > /tmp/done"
    process = await streams.exec(id, ["/bin/sh", "-c", script], stdin=True, stdout=True, stderr=False, tty=True)
    assert await process.read("stdout") == b"begun\r\n"
    await process.close()
    again = "echo again > /tmp/go; /bin/busybox cat /tmp/done"
    assert (await streams.exec_sync(id, ["/bin/sh", "-c", again], 10)).stdout == b"again\n"


async def test_a_command_that_ends_with_its_container(real: Subject) -> None:
    """Its exit code is known, though the container's task is gone."""
    id = await real.start(real.container(ENDLESS))
    process = await real.runtime.streams.exec(
        id, ["/bin/busybox", "sleep", "60"], stdin=False, stdout=True, stderr=True, tty=False
    )
    await real.runtime.containers.stop(id, 0)
    assert await process.read("stdout") == b""
    assert await process.wait() == 137
    await process.close()


async def test_pid_namespace_shared_by_the_pod(real: Subject) -> None:
    """With share_pid the container sees the pause process as pid 1; without, itself."""
    shared = NamespaceOptions(share_pid=True)
    own = await output(real, "cat /proc/1/comm")
    assert own == ["cat"]
    sandbox = real.sandbox("shared", namespaces=shared)
    assert await output(real, "cat /proc/1/comm", sandbox=sandbox, namespaces=shared) == ["pause"]


async def test_a_container_that_cannot_start_says_why(real: Subject) -> None:
    """A missing program is an error with runc's words, and an exited container."""
    sandbox = real.sandbox()
    sandbox_id = await real.runtime.sandboxes.run(sandbox)
    id = await real.runtime.containers.create(sandbox_id, real.container(command=["/nope"]), sandbox)
    with pytest.raises(RuntimeFailed, match=r"/nope.*no such file"):
        await real.runtime.containers.start(id)
    status = await real.runtime.containers.status(id)
    assert (status.state, status.exit_code) == ("exited", 128)


async def test_events_end_and_calls_recover_when_containerd_restarts(
    private: PrivateContainerd, real: Subject
) -> None:
    """A killed containerd ends the events with RuntimeUnavailable; its containers run on under the next."""
    id = await real.start(real.container(ENDLESS))
    events = real.runtime.monitor.events()
    [sandbox] = await real.runtime.sandboxes.list()
    pid = await private.process.start()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeUnavailable):
        await anext(events)
    with pytest.raises(RuntimeUnavailable):
        await real.runtime.containers.list()
    assert await private.process.start() != pid
    again = await Containerd.connect(private.socket)
    status = await again.containers.status(id)
    assert (status.state, status.sandbox_id) == ("running", sandbox.id)
    later = again.monitor.events()
    await again.containers.stop(id, 5)
    assert await exit_of(later) == RuntimeEvent("exited", id, 143)
    await again.close()


async def test_leftovers_of_a_killed_containerd_go(private: PrivateContainerd, real: Subject) -> None:
    """With containerd gone, containers, shims, mounts and cgroups are found and removed all the same."""
    config = private.process.config
    id = await real.start(real.container(STUBBORN))
    bundles = config.state / "io.containerd.runtime.v2.task/k8s.io"
    sockets = [path.read_text() for path in bundles.glob("*/address")]
    sockets += [orjson.loads(path.read_bytes())["address"] for path in bundles.glob("*/bootstrap.json")]
    os.kill(await private.process.start(), signal.SIGKILL)
    places = [config.folder, config.state]
    await asyncio.to_thread(leftovers.remove_all, places, socket=config.socket, cgroup=private.cgroup)
    assert leftovers.shims(config.socket) == []
    assert leftovers.mounts_under([config.folder], Path("/proc/self/mountinfo").read_text()) == []
    assert list(Path("/sys/fs/cgroup").glob(f"*/{private.cgroup.strip('/')}")) == []
    assert sockets and not any(Path(text.removeprefix("unix://")).exists() for text in sockets)
    await private.process.start()
    again = await Containerd.connect(private.socket)
    assert (await again.containers.status(id)).state in ("exited", "unknown")
    assert [sandbox.state for sandbox in await again.sandboxes.list()] == ["notready"]
    await again.close()


async def test_a_connection_nobody_answers_times_out(tmp_path: Path) -> None:
    """connect names the socket when nothing listens there."""
    with pytest.raises(TimeoutError, match=r"nothing\.sock"):
        await Containerd.connect(tmp_path / "nothing.sock", timeout=0.3)


async def test_the_pause_image_is_there_and_ends_at_once(real: Subject) -> None:
    """The shipped pause image is loaded once, and its process ends on SIGTERM without waiting for SIGKILL."""
    image = await real.runtime.images.status(pause.IMAGE)
    assert image is not None
    assert image.uid == 65535
    await pause.ensure_pause(real.runtime.images)
    sandbox = real.sandbox()
    id = await real.runtime.containers.create(
        await real.runtime.sandboxes.run(sandbox),
        real.container(image=pause.IMAGE, command=["/pause"]),
        sandbox,
    )
    await real.runtime.containers.start(id)
    await real.runtime.containers.stop(id, 15)
    assert (await real.runtime.containers.status(id)).exit_code == 0


async def test_loaded_images_survive_the_garbage_collector(real: Subject, tmp_path: Path) -> None:
    """After other images were removed, which sets the collector to work, a loaded image still runs."""
    for number in range(3):
        archive = tmp_path / "other.tar"
        write = oci.Recipe(f"other:{number}", files={"/file": oci.File(bytes([number]) * 100_000)})
        oci.write_archive(archive, [write])
        await real.runtime.images.load(archive)
        await real.runtime.images.remove(f"other:{number}")
    assert await output(real, "echo alive") == ["alive"]


def docker_archive(path: Path, name: str, packed: bool) -> None:
    """What `docker save` writes: manifest.json, a config and layers in folders of their own."""
    recipe = busybox_recipe(name)
    layers = [oci.layer(recipe), oci.layer(oci.Recipe(name, files={"/extra": oci.File(b"second layer\n")}))]
    config = orjson.loads(oci.config(recipe, ""))
    config["rootfs"]["diff_ids"] = [oci.digest_of(layer) for layer in layers]
    entries = {"config.json": orjson.dumps(config)}
    entries |= {f"layer{i}/layer.tar": gzip.compress(data) if packed else data for i, data in enumerate(layers)}
    entries["manifest.json"] = orjson.dumps(
        [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer0/layer.tar", "layer1/layer.tar"]}]
    )
    plain = path.with_suffix(".plain")
    with tarfile.open(plain, "w") as tar:
        for entry, data in entries.items():
            oci.add_to_tar(tar, tarfile.TarInfo(entry), data)
    path.write_bytes(gzip.compress(plain.read_bytes()) if packed else plain.read_bytes())


@pytest.mark.parametrize("packed", [False, True])
async def test_a_docker_archive_runs(real: Subject, tmp_path: Path, packed: bool) -> None:
    """An archive as docker saves it, plain or gzipped, with two layers, is loaded and runs."""
    archive = tmp_path / "saved.tar"
    await asyncio.to_thread(docker_archive, archive, "saved:1", packed)
    assert await real.runtime.images.load(archive) == ("docker.io/library/saved:1",)
    assert await output(real, "cat /extra", image="saved:1") == ["second layer"]


async def test_a_layer_that_was_changed_is_refused(real: Subject, tmp_path: Path) -> None:
    """A blob whose content is not what its digest says never becomes an image."""
    archive = tmp_path / "forged.tar"
    oci.write_archive(archive, [oci.Recipe("forged:1", files={"/file": oci.File(b"A" * 1000)})])
    archive.write_bytes(archive.read_bytes().replace(b"A" * 1000, b"B" * 1000))
    with pytest.raises(RuntimeFailed, match="digest"):
        await real.runtime.images.load(archive)
    assert await real.runtime.images.status("forged:1") is None


@pytest.mark.timeout(60)
async def test_twenty_pods_at_once(real: Subject) -> None:
    """Pods that start together all run, each with its own address."""
    ids = await asyncio.gather(*(real.start(real.container(), real.sandbox(f"pod{i}")) for i in range(20)))
    statuses = await asyncio.gather(*(real.runtime.containers.status(id) for id in ids))
    assert {status.state for status in statuses} == {"running"}
    pods = await asyncio.gather(*(real.runtime.sandboxes.status(status.sandbox_id) for status in statuses))
    assert len({pod.ips for pod in pods}) == 20
