"""The rules of the house: import directions, sizes, docstrings, and that the documentation tells everything."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import click
import pytest

from minikube_py.cli.main import cli
from minikube_py.config import Settings

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "minikube_py"
FOLDERS = ("minikube_py", "tests", "benchmarks", "examples", "hack")
MAX_LINES = {"minikube_py": 400, "tests": 500, "benchmarks": 500, "examples": 400, "hack": 400}
UNFINISHED = re.compile(r"\b(TODO|FIXME)\b")
SPAWNING = ("create_task", "ensure_future")


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def sources(*folders: str) -> list[Path]:
    """The Python files of folders, without generated ones."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not path.name.endswith("_pb2.py")]


def named(path: Path, line: int = 0) -> str:
    """A file, and a line of it, as errors name them."""
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def called(node: ast.AST) -> str:
    """The dotted name that a call calls: `asyncio.create_task`; empty for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """(name, line) of every call in a file."""
    for node in ast.walk(tree(path)):
        if name := called(node):
            yield name, node.lineno  # type: ignore[attr-defined]


def section(document: str, heading: str) -> str:
    """The text below a heading of a document, up to the next heading; empty if there is none."""
    text = (ROOT / "docs" / document).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def leaves(command: click.Command, names: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """(name, command) of every command that does something: `get`, `rollout status`."""
    if not isinstance(command, click.Group):
        yield " ".join(names), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*names, name))


def option_names(command: click.Command) -> list[str]:
    """The long options of a command, as a user writes them."""
    options = (p for p in command.params if isinstance(p, click.Option) and not p.hidden)
    written = (name for option in options for name in (*option.opts, *option.secondary_opts))
    return [name for name in written if name.startswith("--")]


@pytest.mark.timeout(120)
def test_imports_point_down() -> None:
    """Every import contract of pyproject.toml is kept."""
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def test_every_module_tells_its_role() -> None:
    """Every module of the package has a docstring."""
    silent = [named(path) for path in sources("minikube_py") if not ast.get_docstring(tree(path))]
    assert silent == []


def test_every_test_tells_what_it_shows() -> None:
    """Every test function has a docstring."""
    silent = [
        named(path, node.lineno)
        for path in sources("tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_files_stay_small() -> None:
    """No file is so long that it holds two things."""
    for folder, limit in MAX_LINES.items():
        lengths = {named(path): len(path.read_text().splitlines()) for path in sources(folder)}
        assert {name: length for name, length in lengths.items() if length > limit} == {}


def test_nothing_is_left_unfinished() -> None:
    """No file says that something is still to be done."""
    files = (path for path in sources(*FOLDERS) if path != Path(__file__))
    marked = [
        named(path, number)
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert marked == []


def test_every_task_has_an_owner() -> None:
    """Tasks are spawned in aio only, which names them and ends them."""
    bare = [
        named(path, line)
        for path in sources("minikube_py")
        if path.relative_to(PACKAGE).parts[0] != "aio"
        for name, line in calls(path)
        if name.rpartition(".")[2] in SPAWNING
    ]
    assert bare == []


def test_processes_have_one_door() -> None:
    """Child processes are made in aio/process.py only."""
    doors = {
        named(path)
        for path in sources("minikube_py")
        for name, _ in calls(path)
        if name.rpartition(".")[2] in ("create_subprocess_exec", "create_subprocess_shell", "Popen", "fork")
        or name in ("os.system", "os.popen", "os.posix_spawn")
    }
    assert doors == {"minikube_py/aio/process.py"}


def test_only_the_command_line_prints() -> None:
    """Components log; what is printed is the command line's."""
    loud = [
        named(path, line)
        for path in sources("minikube_py")
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for name, line in calls(path)
        if name == "print"
    ]
    assert loud == []


@pytest.mark.parametrize("setting", [field.name for field in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    """docs/settings.md has a section and a row with flag, variable and default for each setting."""
    default = {field.name: field.default for field in fields(Settings)}[setting]
    shown = f"`{default}`" if default != "" else "(empty)"
    flag, variable = f"--{setting.replace('_', '-')}", f"MINIKUBE_PY_{setting.upper()}"
    rows = (ROOT / "docs" / "settings.md").read_text().splitlines()
    assert f"| `{setting}` | `{flag}` | `{variable}` | {shown} |" in rows
    assert section("settings.md", f"`{setting}`").strip() != ""


@pytest.mark.parametrize(
    ("name", "command"), list(leaves(cli)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_is_documented(name: str, command: click.Command) -> None:
    """docs/commands.md has a section for each command that names its options."""
    text = section("commands.md", f"`{name}`")
    shared = text + (section("commands.md", "Rollouts") if name.startswith("rollout ") else "")
    assert text.strip() != ""
    assert [option for option in option_names(command) if f"`{option}`" not in shared] == []


def test_every_documented_command_exists() -> None:
    """docs/commands.md has no section for a command that is gone."""
    told = re.findall(r"^### `(.*)`$", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(name for name, _ in leaves(cli))


def test_the_changelog_tells_of_this_version() -> None:
    """The package's version has an entry in CHANGELOG.md, below what is not released yet."""
    from minikube_py import __version__

    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert __version__ in headings
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports test files by their bare names: two of one name cannot be run together."""
    names = [path.name for path in sources("tests") if path.name not in ("conftest.py", "__init__.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
