"""Live migration: two hosts on one switch, a guest that moves between them, and what that costs.

    hosta                switch                hostb
    .-----------.     .-----------.     .-----------.
    | guest ─ lower ──|── switch ──|── lower         |
    |     stream ─────|─────┼──────|── stream        |
    '-----------'     '─────┼─────'     '-----------'
                         external

Guests whose NIC is associated with a port profile (802.1Qbg) are not moved here.
"""

from harness.guests.migration.delivery import Delivery, Move
from harness.guests.migration.move import Migration, Moving, Order, Variant, begin, migrate
from harness.guests.migration.pair import HostPair

__all__ = [
    "Delivery",
    "HostPair",
    "Migration",
    "Move",
    "Moving",
    "Order",
    "Variant",
    "begin",
    "migrate",
]
