"""What may go wrong with an expression, worded as cel-go and Kubernetes word it."""

from collections.abc import Iterable
from typing import Final, NamedTuple

WIDE_DOT: Final = "\uff0e"
WIDE_MARK: Final = "\uff3e"
"""Below letters that take two columns."""


class Issue(NamedTuple):
    """One fault of an expression: where it is (a character's place in the text) and what it is."""

    position: int
    message: str


class CompileError(ValueError):
    """An expression that cannot be used. `message` is as Kubernetes tells it in a refusal."""

    def __init__(self, message: str, issues: Iterable[Issue] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.issues = tuple(issues)


class WrongResult(CompileError):
    """An expression that gives another type than it must."""


class EvaluationError(ValueError):
    """An evaluation that failed; in CEL an error is a value that `||`, `&&` and macros may absorb."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CostExceeded(EvaluationError):
    """An evaluation that cost too much; nothing absorbs it."""

    def __init__(self, message: str = "operation cancelled: actual cost limit exceeded") -> None:
        super().__init__(message)


def compile_error(text: str, issues: Iterable[Issue]) -> CompileError:
    """The error that shows every issue with its line and a mark below its column."""
    listed = sorted(set(issues))
    shown = "\n".join(display(text, issue) for issue in listed)
    return CompileError(f"compilation failed: {shown}", listed)


def display(text: str, issue: Issue) -> str:
    """`ERROR: <input>:1:6: message`, the line, and a caret below the column."""
    before = text[: issue.position]
    line, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    shown = text.split("\n")[line].replace("\t", " ")
    dots = "".join(WIDE_DOT if ord(letter) > 127 else "." for letter in shown[:column])
    mark = WIDE_MARK if shown[column : column + 1] > "\x7f" else "^"
    return f"ERROR: <input>:{line + 1}:{column + 1}: {issue.message}\n | {shown}\n | {dots}{mark}"
