"""PodMemory: what a worker remembers of its containers between plans: backoffs, refusals, last words.

It turns the view of the runtime into what plan.py and status.py ask for.
"""

from collections.abc import Collection, Iterable, Sequence, Set
from pathlib import Path

from minikube_py.kubelet.backoff import Backoff
from minikube_py.kubelet.cm.resizer import Resizer
from minikube_py.kubelet.container_status import Known
from minikube_py.kubelet.kuberuntime.containers import MESSAGE_PATH, MESSAGE_POLICY, message_file
from minikube_py.kubelet.kuberuntime.start import StartRefused
from minikube_py.kubelet.logs.reading import tail_text
from minikube_py.kubelet.plan import Kill, Seen, container_hash
from minikube_py.kubelet.prober.probes import FIELDS, PodProbes
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.status import Facts
from minikube_py.meta.objects import Obj, containers_of, dig, name_of, namespace_of
from minikube_py.runtime.base import Container

STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
CRASH_BACKOFF = (10.0, 300.0)  # seconds: first, longest
MESSAGE_LIMIT = 4096  # bytes
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
TRIED = ("", "CrashLoopBackOff", "RunContainerError", "PostStartHookError")
"""What a container waits for whose last start got as far as its process: starting it again is a restart."""


def _exit_code(status: Obj) -> int:
    """How a container ended of which only its status is known; 137 where that does not tell."""
    ends = (status[field].get("terminated") for field in ("state", "lastState") if status.get(field))
    return next((int(end["exitCode"]) for end in ends if end), 137)


def go_duration(seconds: float) -> str:
    """A duration as Go prints it: 10s, 1m20s, 5m0s, 4h0m0s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{before}{rest}s"


class PodMemory:
    """What is remembered of one pod's containers. `terminal`: none will run again."""

    def __init__(self, shared: Shared, uid: str) -> None:
        self._shared, self._uid = shared, uid
        self._backoff = Backoff(*CRASH_BACKOFF)
        self._waiting: dict[str, tuple[str, str]] = {}
        self._retry_at: dict[str, float] = {}
        self._announced: dict[str, float] = {}
        self._last_words: dict[str, str] = {}
        self._replaced: set[str] = set()
        self._given_up: set[str] = set()
        self.terminal = False
        self.hooked: Set[str] = frozenset()
        """Ids of containers whose postStart hook is not over: they are not told as running yet."""

    def seen(self, pod: Obj, probes: PodProbes, now: float, resized: Set[str] = frozenset()) -> Seen:
        """What the plan is made from; `resized` are the containers to be restarted for their new resources."""
        view = self._shared.view.of(self._uid)
        containers = view.by_name()
        not_before = dict(self._retry_at)
        for name, runs in containers.items():
            if runs[0].state == "exited" and name not in self._replaced:
                not_before[name] = max(self._backed_off(name, runs), not_before.get(name, 0.0))
        known = {
            s["name"]: s for field in STATUSES for s in dig(pod, f"status.{field}", []) if s.get("containerID")
        }
        return Seen(
            now=now,
            sandboxes=view.newest_sandboxes(),
            containers=containers,
            failed=probes.failed(),
            started=probes.started(),
            not_before=not_before,
            resized=resized,
            replaced=frozenset(self._replaced),
            restarts={name: status["restartCount"] for name, status in known.items()},
            lost={name: _exit_code(status) for name, status in known.items() if name not in containers},
        )

    def _backed_off(self, name: str, runs: Sequence[Container]) -> float:
        """When the backoff after the newest run ends. What a probe has given up is started anew at once where
        it has run for longer than the backoff lasts, counted from the end of the run before."""
        ended = runs[0].finished_at or runs[0].created_at
        delay = self._backoff.delay(name, ended)
        if runs[0].id in self._given_up and (len(runs) < 2 or runs[1].finished_at + delay <= ended):
            return 0.0
        return ended + delay

    def running(self, pod: Obj, killing: Collection[str]) -> dict[str, tuple[Container, Obj]]:
        """The running containers that are not being stopped, with their specs, by id; none whose postStart
        hook is not over."""
        specs = {c["name"]: c for c in containers_of(pod["spec"])}
        return {
            id: (container, specs[container.name])
            for id, container in self._shared.view.of(self._uid).containers.items()
            if container.state == "running" and container.name in specs
            if id not in killing and id not in self.hooked
        }

    def grace(self, pod: Obj, kill: Kill) -> float:
        """The grace period of one container that is stopped while its pod runs on."""
        whole = pod["spec"].get("terminationGracePeriodSeconds")
        grace = float(30 if whole is None else whole)
        spec = next((c for c in containers_of(pod["spec"]) if c["name"] == kill.container.name), {})
        probe = spec.get(FIELDS.get(kill.probe, "")) or {}
        return float(probe.get("terminationGracePeriodSeconds") or grace)

    def note_backoffs(self, pod: Obj, names: Iterable[str], now: float) -> None:
        """Containers that have crashed and wait: CrashLoopBackOff, told once for each wait."""
        runs = self._shared.view.of(self._uid).by_name()
        for name in names:
            if name in self._retry_at or name not in runs or runs[name][0].state != "exited":
                continue
            newest = runs[name][0]
            delay = self._backoff.delay(name, newest.finished_at or now)
            if not delay:
                continue
            pod_id = f"{name_of(pod)}_{namespace_of(pod)}({self._uid})"
            why = f"back-off {go_duration(delay)} restarting failed container={name} pod={pod_id}"
            self._waiting[name] = ("CrashLoopBackOff", why)
            if self._announced.get(name) == newest.finished_at:
                continue
            self._announced[name] = newest.finished_at
            spec = next(c for c in containers_of(pod["spec"]) if c["name"] == name)
            tell = self._shared.teller(pod, spec)
            tell("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod_id}")

    def note_replaced(self, name: str) -> None:
        """A container is stopped to be started anew at once: no failure of its own."""
        self._replaced.add(name)

    def note_given_up(self, id: str) -> None:
        """A container is stopped because of a probe."""
        self._given_up.add(id)

    def note_changed(self, before: Obj, after: Obj) -> None:
        """The pod's spec has changed: a container with another image has nothing to wait for."""
        hashes = {c["name"]: container_hash(c) for c in containers_of(before["spec"])}
        for container in containers_of(after["spec"]):
            name = container["name"]
            if name in hashes and hashes[name] != container_hash(container):
                self._retry_at.pop(name, None)
                self._backoff.forget(name)

    def note_start(self, name: str, attempt: int) -> None:
        """A container is about to start; a restart counts for the backoff, but for the first that a probe
        has asked for."""
        self._retry_at.pop(name, None)
        if name in self._replaced:
            self._replaced.discard(name)
            return
        runs = self._shared.view.of(self._uid).by_name().get(name, ())
        if len(runs) == 1 and runs[0].id in self._given_up:
            return
        if attempt > 0 and self._waiting.get(name, ("",))[0] in TRIED:
            self._backoff.next(name, self._shared.epoch())

    def note_refusal(self, name: str, refusal: StartRefused) -> None:
        """A container could not be started."""
        self._waiting[name] = (refusal.reason, refusal.message)
        if refusal.retry_at is not None:
            self._retry_at[name] = refusal.retry_at
            return
        runs = self._shared.view.of(self._uid).by_name().get(name)
        if not runs or runs[0].state != "exited":  # else its end tells when to start again
            now = self._shared.epoch()
            self._retry_at[name] = now + self._backoff.delay(name, now)

    def note_running(self, name: str) -> None:
        """A container has started."""
        self._waiting.pop(name, None)
        self._retry_at.pop(name, None)

    def retry_configuration(self) -> None:
        """Containers that could not be configured are tried again at once."""
        for name, (reason, _) in self._waiting.items():
            if reason == "CreateContainerConfigError":
                self._retry_at.pop(name, None)

    def facts(self, probes: PodProbes, ips: tuple[str, ...], ended: tuple[str, str], resizer: Resizer) -> Facts:
        """What the status is made from."""
        view = self._shared.view.of(self._uid)
        self._last_words = {id: words for id, words in self._last_words.items() if id in view.containers}
        self._given_up &= view.containers.keys()
        runs: dict[str, list[Known]] = {}
        for name, containers in view.by_name().items():
            told = [container for container in containers if container.id not in self.hooked]
            runs[name] = [self._known(container, probes, resizer) for container in told]
        return Facts(
            now=self._shared.clock.now(),
            containers=runs,
            waiting=self._waiting,
            sandbox_ready=view.ready_sandbox() is not None,
            ips=ips,
            host_ip=self._shared.config.node_ip,
            terminal=self.terminal,
            reason=ended[0],
            message=ended[1],
            resize=resizer.conditions(),
            allocated=resizer.allocated,
        )

    def _known(self, container: Container, probes: PodProbes, resizer: Resizer) -> Known:
        verdict = probes.verdict(container.id)
        last_words = self._words(container) if container.state == "exited" else ""
        return Known(container, verdict.ready, verdict.started, last_words, resizer.applied(container.id))

    def _words(self, container: Container) -> str:
        """The termination message: its file, or by policy the end of the log."""
        known = self._last_words.get(container.id)
        if known is None:
            known = self._last_words[container.id] = self._read_words(container)
        return known

    def _read_words(self, container: Container) -> str:
        if container.annotations.get(MESSAGE_PATH):
            file = Path(message_file(self._shared.config, self._uid, container.name, container.attempt))
            try:
                with file.open("rb") as source:
                    text = source.read(MESSAGE_LIMIT).decode(errors="replace")
            except OSError:
                text = ""
            if text:
                return text
        if container.annotations.get(MESSAGE_POLICY) == "FallbackToLogsOnError" and container.exit_code:
            return tail_text(Path(container.log_path), FALLBACK_LINES, FALLBACK_BYTES)
        return ""
