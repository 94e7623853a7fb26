"""With --hairpin-jobs N: the tests on N processes, made once everything is imported and collected.

    we ── collect ──┬─ fork ─► worker 0 ── reports ─┐
                    ├─ fork ─► worker 1 ── reports ─┼─► we: terminal, files, exit status
                    └─ runs of tests, in a pipe ────┘

pytest-xdist's workers each import and collect anew: with two of them three times what one process
takes, which here is half of a short run. A worker takes a run of tests when it has none left, so
that those on one topology mostly stay together. Whatever ends us ends the workers.
"""

from __future__ import annotations

import gc
import mmap
import os
import signal
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait

import pytest

from harness.kernel.syscalls import die_with_parent
from harness.livefixtures import close_testbeds
from harness.plugin import fit, forked_key, record_lost, worker_key

__all__: list[str] = []

_RUN = struct.Struct("=II")  # tests of one run: the first one's number, and that behind the last
_SHORTEST = 4  # tests in a run: a shorter one is not worth building a topology for
_RUNS_EACH = 4  # of what is left a worker takes this part of its share
# These report, which is for the process that started the workers to do.
_REPORTING = ("terminalreporter", "hairpin-reporter", "lfplugin", "stepwiseplugin")
_DONE, _EXIT, _BROKEN, _INTERRUPTED = "done", "exit", "broken", "interrupted"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("hairpin").addoption(
        "--hairpin-jobs",
        type=int,
        default=1,
        metavar="N",
        help="run the tests on N processes, forked once they are collected",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()  # what is there now stays: it need not be looked through for garbage again


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    config = session.config
    jobs = min(config.getoption("hairpin_jobs"), len(session.items))
    if jobs < 2 or session.testsfailed or config.option.collectonly:
        return None  # pytest's own
    fit(config)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()  # a fork would leave it behind
    with _Workers(session, jobs) as workers:
        for index, reports in workers.finished():
            item = session.items[index]
            config.hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in reports:
                config.hook.pytest_runtest_logreport(report=report)
            config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
    return True


# ---------------------------------------------------------------------- who reports


@dataclass(frozen=True)
class _Worker:
    pid: int
    running: mmap.mmap  # the run that it works on, its first number always that of the test


class _Workers:
    """The processes, and what they still have to do."""

    def __init__(self, session: pytest.Session, jobs: int) -> None:
        self._session = session
        self._alive: dict[Connection, _Worker] = {}
        self._started = 0
        self._take, self._give = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for run in _runs(session.items, jobs):
            os.write(self._give, _RUN.pack(*run))
        for _ in range(jobs):
            self._start()

    def __enter__(self) -> _Workers:
        return self

    def _start(self) -> None:
        ours, theirs = Pipe(duplex=False)
        running = mmap.mmap(-1, _RUN.size)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(signal.SIGKILL)
                if os.getppid() == parent:
                    ours.close()
                    for connection in self._alive:
                        connection.close()
                    _work(self._session, self._started, self._take, running, theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._started += 1
        self._alive[ours] = _Worker(pid, running)

    def finished(self) -> Iterator[tuple[int, list[pytest.TestReport]]]:
        """Each test as it ends: its number, and its reports."""
        while self._alive:
            for connection in wait(list(self._alive)):
                assert isinstance(connection, Connection)
                try:
                    told = connection.recv()
                except EOFError:
                    yield self._lost(connection)
                    continue
                if isinstance(told[0], int):
                    yield told
                else:
                    self._ended(connection, *told)

    def _ended(self, connection: Connection, how: str, says: str, code: int | None) -> None:
        os.waitpid(self._alive.pop(connection).pid, 0)
        connection.close()
        if how == _EXIT:
            pytest.exit(says, returncode=code)
        if how == _INTERRUPTED:
            raise KeyboardInterrupt
        if how == _BROKEN:
            raise RuntimeError(f"a worker has broken down:\n{says}")

    def _lost(self, connection: Connection) -> tuple[int, list[pytest.TestReport]]:
        """A worker ended in the middle of a test, which has failed; another does the others."""
        worker = self._alive.pop(connection)
        connection.close()
        _, status = os.waitpid(worker.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        why = f"signal {-code}" if code < 0 else f"status {code}"
        index, stop = _RUN.unpack(worker.running[:])
        if not stop:
            raise RuntimeError(f"a worker ended with {why} before its first test")
        if index + 1 < stop:
            os.write(self._give, _RUN.pack(index + 1, stop))
        self._start()
        return index, [record_lost(self._session.items[index], f"its process ended with {why}")]

    def __exit__(self, *_: object) -> None:
        for connection, worker in self._alive.items():
            os.kill(worker.pid, signal.SIGKILL)  # leaves nothing behind
            os.waitpid(worker.pid, 0)
            connection.close()
        self._alive.clear()
        os.close(self._take)
        os.close(self._give)


def _runs(items: Sequence[pytest.Item], jobs: int) -> Iterator[tuple[int, int]]:
    """Tests in runs, long ones first: at the end no worker is to have much more than another."""
    at, count = 0, len(items)
    while at < count:
        stop = min(at + max(_SHORTEST, (count - at) // (jobs * _RUNS_EACH)), count)
        while stop < count and _share(items[stop - 1], items[stop]):
            stop += 1
        yield at, stop
        at = stop


def _share(before: pytest.Item, after: pytest.Item) -> bool:
    """Whether both take what a machine has once: they are of one group, as pytest-xdist's are."""
    groups = [item.get_closest_marker("xdist_group") for item in (before, after)]
    return groups[0] is not None and groups[0] == groups[1]


# ---------------------------------------------------------------------- who works


class _Sender:
    """Keeps the reports of a test until it has ended."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)


def _work(
    session: pytest.Session, number: int, take: int, running: mmap.mmap, to: Connection
) -> None:
    """Run what there is to take, and tell of it."""
    config = session.config
    config.stash[worker_key] = number
    sender = _Sender()
    try:
        _be_silent(config)
        for prepare in config.stash.get(forked_key, []):
            prepare()
        config.pluginmanager.register(sender, "hairpin-sender")
        _run_all(session, sender, take, running, to)
        close_testbeds(config)
        told: tuple[str, str, int | None] = (_DONE, "", None)
    except pytest.exit.Exception as error:
        told = (_EXIT, error.msg, error.returncode)
    except KeyboardInterrupt:
        told = (_INTERRUPTED, "", None)
    except BaseException:  # noqa: BLE001  (told to who started us, and raised there)
        import traceback

        told = (_BROKEN, traceback.format_exc(), None)
    to.send(told)


def _be_silent(config: pytest.Config) -> None:
    """Report nothing, and capture output in files of our own: those are shared until now."""
    plugins = config.pluginmanager
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    for plugin in list(plugins.get_plugins()):
        name = plugins.get_name(plugin)
        if name in _REPORTING or type(plugin).__name__ == "LogXML":
            plugins.unregister(plugin)


def _run_all(
    session: pytest.Session, sender: _Sender, take: int, running: mmap.mmap, to: Connection
) -> None:
    items = session.items
    run = _next_run(take)
    while run:
        index, stop = run
        running[:] = _RUN.pack(index, stop)
        # Which test comes next decides what is kept for it.
        run = (index + 1, stop) if index + 1 < stop else _next_run(take)
        item, nextitem = items[index], items[run[0]] if run else None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        to.send((index, sender.reports))
        sender.reports = []
        if session.shouldfail or session.shouldstop:
            return


def _next_run(take: int) -> tuple[int, int] | None:
    try:
        data = os.read(take, _RUN.size)
    except BlockingIOError:
        return None
    first, stop = _RUN.unpack(data)
    return first, stop
