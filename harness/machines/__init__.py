"""Machines: a kernel booted in QEMU, with the files of this host, and a command run in it."""

__all__: list[str] = []
