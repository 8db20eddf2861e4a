"""Claims of networks: what one process has chosen, another leaves alone, as long as the first lives."""

import subprocess
import sys
from pathlib import Path

import orjson

from minikube_py.cluster.claims import Claims


def claim_elsewhere(folder: Path, config: Path) -> "subprocess.Popen[bytes]":
    """A process that has claimed slot 0's port for the profile of `config`, and lives until its input ends."""
    code = (
        "import sys; from pathlib import Path; from minikube_py.cluster.claims import Claims\n"
        f"with Claims.locked(Path({str(folder)!r})) as claims:\n"
        f"    claims.put(Path({str(config)!r}), {{'api_port': 8443}})\n"
        "print('put', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"put\n"
    return process


def test_a_claim_counts_while_its_process_lives(tmp_path: Path) -> None:
    """Another profile sees it, its own profile does not, and with the process it goes."""
    mine, other = tmp_path / "mine.json", tmp_path / "other.json"
    with claim_elsewhere(tmp_path / "run", other), Claims.locked(tmp_path / "run") as claims:
        assert claims.others(mine) == [{"api_port": 8443}]
        assert claims.others(other) == []
    with Claims.locked(tmp_path / "run") as claims:
        assert claims.others(mine) == []
    assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]


def test_damage_and_no_folder_are_no_claims(tmp_path: Path) -> None:
    """A half-written claim is passed over; where no folder can be made, nothing is claimed or known."""
    with Claims.locked(tmp_path) as claims:
        (tmp_path / "half.json").write_bytes(b'{"config": ')
        (tmp_path / "odd.json").write_bytes(orjson.dumps(["a"]))
        assert claims.others(tmp_path / "mine.json") == []
    (tmp_path / "file").write_text("")
    with Claims.locked(tmp_path / "file" / "below") as claims:
        claims.put(tmp_path / "mine.json", {"api_port": 8443})
        assert claims.others(tmp_path / "other.json") == []


def test_a_dropped_claim_is_gone(tmp_path: Path) -> None:
    """What a deleted profile held is free at once."""
    with claim_elsewhere(tmp_path / "run", tmp_path / "other.json"), Claims.locked(tmp_path / "run") as claims:
        claims.drop(tmp_path / "other.json")
        assert claims.others(tmp_path / "mine.json") == []
