"""Macvtap on virtual functions: a NIC of this machine that has them, and what its PF decides."""
