"""What programs take besides themselves."""

import sys
from pathlib import Path

import pytest

from harness.machines.elf import needs


def test_needs():
    """A program's interpreter and libraries, from its own headers."""
    program = needs(Path(sys.executable).resolve().read_bytes())
    assert "ld-" in program.interpreter
    assert any(x.startswith("libc.so") for x in program.libraries)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" * 99])
def test_needs_of_no_program(data):
    with pytest.raises(ValueError, match="ELF"):
        needs(data)
