"""Whether KVM works is found out by running a guest.

QEMU [agent] ── does it answer?
"""

import os

import pytest

from harness.errors import UnfitError
from harness.kernel.processes import find_program
from harness.machines import accelerator as choosing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox takes root")


@pytest.fixture(scope="module")
def probe():
    pytest.importorskip("lxml")
    try:
        find_program("qemu-system-x86_64")
        from harness.guests import accelerator
        from harness.guests.tiny.image import image

        return accelerator, image("x86_64")
    except UnfitError as error:
        pytest.skip(str(error))


def test_the_probe_sees_a_guest_that_runs(probe):
    """Under TCG it runs anywhere."""
    module, image = probe
    assert module._comes_up(image, module.Accelerator.TCG, within=60)


def test_a_node_is_no_kvm(probe, tmp_path, monkeypatch):
    """Something else under that name is not taken for it, and is asked once."""
    module, image = probe
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choosing, "_KVM", tmp_path)
    monkeypatch.setattr(choosing.platform, "machine", lambda: "x86_64")
    asked = []
    monkeypatch.setattr(module, "_comes_up", lambda *_, **__: bool(asked.append(1)))
    found = [module.working_accelerator(image) for _ in range(2)]
    assert (found, len(asked)) == ([module.Accelerator.TCG] * 2, 1)


def test_without_a_node(probe, tmp_path, monkeypatch):
    module, image = probe
    monkeypatch.setattr(choosing, "_KVM", tmp_path / "none")
    assert module.working_accelerator(image) is module.Accelerator.TCG
