"""Rounds made ahead of the training, in processes of their own, in an order that is fixed.

Process p of P makes every P-th job and waits with each chunk until it is taken, so what comes out
does not depend on how many there are or which is faster.
"""

import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType

from vitalwatch.errors import VitalWatchError
from vitalwatch.training.streams import Chunk, Job, chunks


class Ahead:
    """The rounds of ``jobs``, each to be asked for in turn. A context: leaving ends the processes.

    Without ``processes`` the chunks are made here, when they are asked for.
    """

    def __init__(self, jobs: Sequence[Job], processes: int) -> None:
        self._jobs = jobs
        self._next = 0
        spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
        self._ends: list[Connection] = []
        self._processes = []
        for number in range(min(processes, len(jobs))):
            ours, theirs = spawn.Pipe(duplex=False)
            process = spawn.Process(
                target=_make, args=(jobs[number::processes], theirs), daemon=True
            )
            process.start()
            theirs.close()  # or the end of the process would not be seen
            self._ends.append(ours)
            self._processes.append(process)

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.terminate()
            process.join()
            process.close()

    def round(self) -> Iterator[Chunk]:
        """The chunks of the next job; all must be taken before the next round is asked for.

        Raises VitalWatchError if a process ended before its work did.
        """
        number, self._next = self._next, self._next + 1
        job = self._jobs[number]
        if not self._ends:
            yield from chunks(job)
            return
        end = self._ends[number % len(self._ends)]
        for _ in range(job.size.chunks):
            try:
                made = end.recv()
            except EOFError:
                made = "it was ended from outside, perhaps for want of memory"
            if isinstance(made, str):
                raise VitalWatchError(f"Making training data failed: {made}")
            yield made


def _make(jobs: Sequence[Job], end: Connection) -> None:
    """The life of a process: its jobs' chunks, into a pipe that holds little."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one who started us
    # Nobody reads any more, or not until we are ended: then there is nothing left to do.
    with suppress(BrokenPipeError):
        try:
            for job in jobs:
                for chunk in chunks(job):
                    end.send(chunk)
        except Exception:
            end.send(traceback.format_exc())
