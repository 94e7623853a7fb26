"""Which two CPUs sender and receiver run on, and what they cost."""

import pytest

from harness.kernel.cpu import CpuMeter, CpuUse, two_cores


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        pytest.param({0: (0, 0)}, (0, 0), id="one"),
        pytest.param({0: (0, 0), 1: (0, 1)}, (0, 1), id="two cores"),
        pytest.param({0: (0, 0), 1: (0, 0), 2: (0, 1), 3: (0, 1)}, (0, 2), id="two threads each"),
        pytest.param({0: (0, 0), 1: (1, 0), 2: (0, 1), 3: (1, 1)}, (0, 2), id="two packages"),
        pytest.param({0: (0, 0), 1: (0, 0)}, (0, 1), id="two threads of one core"),
        pytest.param({0: (0, 0), 1: (0, 0), 2: (1, 0)}, (0, 2), id="a package is better"),
        pytest.param({4: (0, 4), 6: (0, 6)}, (4, 6), id="only some are ours"),
    ],
)
def test_two_cores(tmp_path, places, chosen):
    for cpu, (package, core) in places.items():
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{package}\n")
        (folder / "core_id").write_text(f"{core}\n")
    assert two_cores(places, topology=tmp_path) == chosen


def test_two_cores_nobody_knows_of(tmp_path):
    assert two_cores({3, 1, 2}, topology=tmp_path) == (1, 2)


def test_meter():
    """CPU time goes up as it is used; instructions are told or not, but never made up."""
    with CpuMeter() as meter:
        while meter.used().user + meter.used().system < 8_000_000:
            pass
        used = meter.used()
    assert used.instructions is None or used.instructions > 1_000_000
    assert used + used == CpuUse(
        2 * used.user,
        2 * used.system,
        None if used.instructions is None else 2 * used.instructions,
    )
