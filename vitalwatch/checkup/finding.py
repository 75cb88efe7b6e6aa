"""One line of what a check found."""

from typing import Literal

import msgspec

Status = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """What was found, what it means, and what to do about it.

    ``warning``: it works, but not as well as it could, or soon not any more. ``fault``: it does
    not work; ``configuration`` if that is for a setting, a file or the broker to change.
    """

    check: str
    status: Status
    text: str
    fix: str = ""
    configuration: bool = False


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, fix: str = "") -> Finding:
    """It works, but."""
    return Finding(check, "warning", text, fix)


def fault(check: str, text: str, fix: str = "", *, configuration: bool = True) -> Finding:
    """It does not work."""
    return Finding(check, "fault", text, fix, configuration)
