"""A thread that is pinned is given its CPUs back, whoever ends that."""

import os
import threading

import pytest

from harness.kernel.affinity import pinned


@pytest.fixture(autouse=True)
def cpus():
    """Those that this thread may run on."""
    before = os.sched_getaffinity(0)
    if len(before) == 1:
        pytest.skip("there is one CPU only")
    yield before
    os.sched_setaffinity(0, before)


def on_thread(work):
    """What `work()` gives on a thread of its own, which then has ended."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_one_cpu_and_then_all(cpus):
    with pinned():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == cpus


def test_inside_of_another(cpus):
    """The inner one has nothing to change, and nothing to give back."""
    with pinned():
        (cpu,) = os.sched_getaffinity(0)
        with pinned():
            assert os.sched_getaffinity(0) == {cpu}
        assert os.sched_getaffinity(0) == {cpu}
    assert os.sched_getaffinity(0) == cpus


def test_ended_by_another_thread(cpus):
    """Who began is free again; who ends it stays on the one that it chose."""
    context = pinned()
    context.__enter__()

    def end():
        os.sched_setaffinity(0, {min(cpus)})
        context.__exit__(None, None, None)
        return os.sched_getaffinity(0)

    assert on_thread(end) == {min(cpus)}
    assert os.sched_getaffinity(0) == cpus


def test_ended_when_its_thread_is_gone(cpus):
    """There is nobody to give anything back to."""
    context = pinned()
    on_thread(context.__enter__)
    context.__exit__(None, None, None)
    assert os.sched_getaffinity(0) == cpus
