"""Live migration: two hosts on one switch, a guest that moves between them, and what that costs.

    hosta                switch                hostb
    .-----------.     .-----------.     .-----------.
    | guest ─ lower ──|── switch ──|── lower         |
    |     stream ─────|─────┼──────|── stream        |
    '-----------'     '─────┼─────'     '-----------'
                         external

    pair       HostPair: the two hosts                 echoes    the external host's requests
    move       migrate, begin ──► Migration            delivery  what became of them (pure)

Guests whose NIC is associated with a port profile (802.1Qbg) are not moved here.
"""

__all__: list[str] = []
