"""Shard: one of n parts of some work, by a hash of what names each piece."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sourcing.errors import UsageError

__all__ = ["Shard"]


@dataclass(frozen=True)
class Shard:
    """The `index`-th (from 1) of `count` parts; the parts are disjoint and together the whole."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "i/n"; UsageError for anything else."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise UsageError(f"--shard {text}", "not a part of a whole", "write i/n, such as 2/3, with i from 1 to n")
        return cls(int(index), int(count))

    def holds(self, key: str) -> bool:
        digest = hashlib.sha256(key.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def part(self, index: int, count: int) -> Shard:
        """The `index`-th of `count` parts of the shard."""
        return Shard(self.index + (index - 1) * self.count, self.count * count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
