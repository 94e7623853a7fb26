"""Kernel releases in order, and in few characters."""

import random

import pytest

from harness.report.across.releases import release_key, short_names

OLD_TO_NEW = [
    "host",
    "4.15.0-213-generic",
    "5.4.0-40-generic",
    "5.4.0-216-generic",
    "5.10.0-46-amd64",
    "5.10.0-46-cloud-amd64",
    "6.1.0-56-amd64",
    "6.8.0-151-generic",
    "6.12.57+deb13-amd64",
    "6.12.117+deb12-amd64",
    "6.19.0-rc1",
    "6.19.0-rc10",
    "6.19.0",
    "6.19.1",
    "7.3.4+deb13-amd64",
]


def test_old_to_new():
    mixed = random.Random(1).sample(OLD_TO_NEW, len(OLD_TO_NEW))
    assert sorted(mixed, key=release_key) == OLD_TO_NEW


@pytest.mark.parametrize(
    ("releases", "names"),
    [
        (["5.4.0-216-generic", "6.1.0-56-amd64"], ["5.4", "6.1"]),
        (["6.1.0-56-amd64", "6.1.0-56-cloud-amd64"], ["6.1", "6.1-cloud"]),
        (["6.1.0-amd64", "6.1.0-cloud-amd64", "6.1.0-rt-amd64"], ["6.1", "6.1-cloud", "6.1-rt"]),
        (["6.12.57+deb13-amd64", "6.12.117+deb12-amd64", "7.3"], ["6.12.57", "6.12.117", "7.3"]),
        (["6.1.0-40-amd64", "6.1.0-56-amd64"], ["6.1.0-40", "6.1.0-56"]),
        (["6.1.0-40-amd64", "6.1.0-56-cloud-amd64"], ["6.1", "6.1-cloud"]),
        (["6.19.0-rc1", "6.19.0"], ["6.19-rc1", "6.19"]),
        (["6.1.0", "6.1.0"], ["6.1", "6.1"]),
        (["unknown", "6.1.0"], ["unknown", "6.1"]),
        (["6.1.0+a", "6.1.0+b"], ["6.1.0+a", "6.1.0+b"]),
    ],
)
def test_as_short_as_tells_them_apart(releases, names):
    assert list(short_names(releases)) == names
