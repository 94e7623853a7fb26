"""Captured conversations, for all that read control frames."""

from pathlib import Path

import pytest

DATA = Path(__file__).with_name("data")


def captured(dialect):
    """(seconds, direction, octets) of each frame that was captured in a dialect."""
    lines = (DATA / f"{dialect}.frames").read_text().splitlines()
    split = [line.split() for line in lines if not line.startswith("#")]
    return [(float(at), way, bytes.fromhex(octets)) for at, way, octets in split]


@pytest.fixture(params=["ratified", "draft"])
def conversation(request):
    """Every captured frame of one dialect."""
    return request.param, captured(request.param)
