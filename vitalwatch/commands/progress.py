"""Progress bars and messages of commands that take long: on standard error, bars on a terminal."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Work:
    """One bar after the other, and messages between them. Use it as a context."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )

    def __enter__(self) -> "Work":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def bar(self, description: str, total: float) -> Callable[[float], None]:
        """Show a new bar instead of the last; call the result with how much of it is done."""
        for old in self._progress.task_ids:
            self._progress.remove_task(old)
        task = self._progress.add_task(description, total=total)
        return lambda done: self._progress.update(task, completed=done)

    def say(self, message: str) -> None:
        """A message for a person."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)
