"""Which frames belong to an associated VSI: source address and VLAN, to the instance."""

from __future__ import annotations

from harness.vsi.facts import FilterInfo

__all__ = ["Gate"]

_Key = tuple[bytes, int]


class Gate:
    """The filter info of the VSIs that are associated, by what is in a frame."""

    def __init__(self) -> None:
        self._instances: dict[_Key, dict[bytes, None]] = {}
        self._keys: dict[bytes, tuple[_Key, ...]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def open(self, instance: bytes, filters: tuple[FilterInfo, ...]) -> bool:
        """Let the frames of `instance` pass: those that `filters` name, and no others.

        Whether that changes anything.
        """
        keys = tuple(sorted({(entry.mac, entry.vid) for entry in filters}))
        if self._keys.get(instance) == keys:
            return False
        self.close(instance)
        self._keys[instance] = keys
        for key in keys:
            self._instances.setdefault(key, {})[instance] = None
        return True

    def close(self, instance: bytes) -> bool:
        """Let none of them pass. Whether that changes anything."""
        if instance not in self._keys:
            return False
        for key in self._keys.pop(instance):
            holders = self._instances[key]
            del holders[instance]
            if not holders:
                del self._instances[key]
        return True

    def find(self, src: bytes, vlan: int) -> bytes | None:
        """Whose frame it is: one from `src`, tagged with `vlan`, or untagged where that is 0."""
        holders = self._instances.get((src, vlan)) or self._instances.get((b"", vlan))
        return next(iter(holders)) if holders else None
