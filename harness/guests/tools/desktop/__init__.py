"""A screen for one program with windows, and somebody who reads and works them."""
