"""Virtual station interfaces as IEEE 802.1Qbg has them: what stations and an EVB bridge say to each
other, and what the bridge makes of it.

    guest -- macvtap -- lower ---- wire ---- EVB bridge
                          '-- lldpad: LLDP (EVB TLV), ECP (VDP)

All of it is pure: octets and the time come in, octets and facts go out.
"""

__all__: list[str] = []
