"""Machines with other kernels: the kernels themselves, and what boots them in QEMU."""
