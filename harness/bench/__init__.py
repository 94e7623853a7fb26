"""Throughput, latency, loss and scale of macvtap, and of what one would use instead."""
