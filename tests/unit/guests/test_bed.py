"""What a testbed with real guests refuses before it starts anything."""

import pytest

from harness import Guest, Mode, Topology, UsageError

pytest.importorskip("libvirt")

from harness.guests.bed import GuestBed

LISTED = ("02:68:70:01:00:01",)


@pytest.mark.parametrize(
    "guest",
    [
        Guest("a", Mode.SOURCE, sources=LISTED),
        Guest("a", Mode.PASSTHRU, nopromisc=True),
        Guest("a", namespace="elsewhere"),
    ],
    ids=["source", "nopromisc", "namespace"],
)
def test_what_libvirt_has_no_words_for(guest):
    """Said at once: no namespace is made, no guest started."""
    with pytest.raises(UsageError, match="libvirt cannot make a guest like"):
        GuestBed(Topology([guest]), None)
