"""The tiny guest: a distribution's kernel, an initramfs of some megabytes, and an agent in it.

    packages ── image ──► kernel + initramfs ── tiny_domain ──► domain XML ──► a guest
    Agent.connect(socket) ◄────────── wire, on a virtio-serial port ──────────► inside/

`wire` and `inside` run in the guest too, on a bare Python: they import nothing of the rest, and
nor does this.
"""

__all__: list[str] = []
