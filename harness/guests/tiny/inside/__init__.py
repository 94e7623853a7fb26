"""What runs in the guest. Imports only `wire` and what starts fast: no dataclasses, no typing."""

__all__: list[str] = []
