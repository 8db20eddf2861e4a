"""/healthz, /livez and /readyz: named checks, with the detail of each at `?verbose` and below its own path.

A check is a function that gives an empty string where all is well, else what is wrong; it must not wait.
What is wrong is logged; clients only learn which check failed. /metrics/slis tells of the checks as metrics.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from minikube_py.aio.metrics import Counter
from minikube_py.apiserver.request import Query

log = logging.getLogger(__name__)

Check = Callable[[], str]
PATHS = ("/healthz", "/livez", "/readyz")


class Health:
    """The checks of the server; `ready_only` ones do not make it unhealthy."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: "", "log": lambda: ""}
        self._ready_only: set[str] = set()
        self._done: set[str] = set()
        self._found = Counter(
            "kubernetes_healthcheck", "Whether a check is well: 1 or 0.", ("name", "type"), type="gauge"
        )
        self._total = Counter(
            "kubernetes_healthchecks_total", "Checks by their result.", ("name", "status", "type")
        )

    def add(self, name: str, check: Check, *, ready_only: bool = False) -> None:
        """Add or replace a check."""
        self._checks[name] = check
        if ready_only:
            self._ready_only.add(name)

    def add_pending(self, name: str) -> None:
        """Add a check that is well once it is `done`."""
        self.add(name, lambda: "" if name in self._done else "not finished")

    def done(self, name: str) -> None:
        """What the check waits for has been done."""
        self._done.add(name)

    def paths(self) -> list[str]:
        """The paths that are answered."""
        return [path for end in PATHS for path in (end, *(f"{end}/{name}" for name in self._checks_of(end)))]

    def slis(self) -> bytes:
        """The checks, made now, as metrics (text format 0.0.4)."""
        for endpoint in PATHS:
            for name, check in self._checks_of(endpoint).items():
                self._run(endpoint, name, check)
        return "".join(f"{line}\n" for one in (self._found, self._total) for line in one.lines()).encode()

    def answer(self, path: str, query: Query) -> tuple[int, str] | None:
        """HTTP code and text for a health path; None where there is no such check."""
        endpoint = next(e for e in PATHS if path == e or path.startswith(e + "/"))
        single = path[len(endpoint) :].strip("/")
        checks = self._checks_of(endpoint)
        if single:
            return self._single(endpoint, single, checks)
        excluded = set(query.get("exclude", ()))
        found = {
            name: None if name in excluded else self._run(endpoint, name, check)
            for name, check in checks.items()
        }
        unknown = sorted(excluded - checks.keys())
        return _summary(endpoint.strip("/"), found, unknown, verbose="verbose" in query)

    def _checks_of(self, endpoint: str) -> Mapping[str, Check]:
        if endpoint == "/readyz":
            return self._checks
        return {name: check for name, check in self._checks.items() if name not in self._ready_only}

    def _single(self, endpoint: str, name: str, checks: Mapping[str, Check]) -> tuple[int, str] | None:
        if name not in checks:
            return None
        wrong = self._run(endpoint, name, checks[name])
        return (500, f"internal server error: {wrong}") if wrong else (200, "ok")

    def _run(self, endpoint: str, name: str, check: Check) -> str:
        wrong, type = _run(name, check), endpoint.strip("/")
        self._found.series((name, type))[0] = 0.0 if wrong else 1.0
        self._total.add((name, "error" if wrong else "success", type))
        return wrong


def _run(name: str, check: Check) -> str:
    try:
        wrong = check()
    except Exception as error:
        log.exception("the health check %s failed", name)
        return str(error) or type(error).__name__
    if wrong:
        log.warning("health check %s: %s", name, wrong)
    return wrong


def _summary(
    endpoint: str, found: Mapping[str, str | None], unknown: Sequence[str], *, verbose: bool
) -> tuple[int, str]:
    """The whole answer; a check that was excluded has no result."""
    lines = [_line(name, wrong) for name, wrong in found.items()]
    if unknown:
        listed = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {listed}")
    if any(found.values()):
        return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
    return 200, "\n".join([*lines, f"{endpoint} check passed", ""]) if verbose else "ok"


def _line(name: str, wrong: str | None) -> str:
    if wrong is None:
        return f"[+]{name} excluded: ok"
    return f"[-]{name} failed: reason withheld" if wrong else f"[+]{name} ok"
