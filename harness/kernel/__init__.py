"""The kernel's own parts: namespaces, links, taps, packet rings, and what is there of them.

Nothing here knows of topologies, models or verdicts; pyroute2 is imported nowhere else.
"""
