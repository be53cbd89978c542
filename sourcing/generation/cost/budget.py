"""Budget: the tokens and money that calls have used and reserved, under ceilings that it never passes.

A call's worst case is reserved before it is sent and replaced by what it used once that is known. The totals live
in the journal's database, for all processes that share it, and change in the transaction of the call they are for.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from sourcing.errors import UsageError

__all__ = ["NO_CEILINGS", "SCHEMA", "Budget", "Ceilings", "Totals", "parse_usd", "usd"]

# broken_* is what calls used beyond what was reserved for them: a bound that did not hold.
SCHEMA = """
CREATE TABLE budgets (
    scope TEXT PRIMARY KEY,
    spent_calls INTEGER NOT NULL DEFAULT 0, spent_tokens INTEGER NOT NULL DEFAULT 0,
    spent_nusd INTEGER NOT NULL DEFAULT 0,
    reserved_calls INTEGER NOT NULL DEFAULT 0 CHECK (reserved_calls >= 0),
    reserved_tokens INTEGER NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
    reserved_nusd INTEGER NOT NULL DEFAULT 0 CHECK (reserved_nusd >= 0),
    broken_calls INTEGER NOT NULL DEFAULT 0, broken_tokens INTEGER NOT NULL DEFAULT 0,
    broken_nusd INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""

_RESERVE = (
    "UPDATE budgets SET reserved_calls = reserved_calls + ?1, reserved_tokens = reserved_tokens + ?2,"
    " reserved_nusd = reserved_nusd + ?3 WHERE scope = ?4"
    " AND spent_calls + reserved_calls + ?1 <= ?5 AND spent_tokens + reserved_tokens + ?2 <= ?6"
    " AND spent_nusd + reserved_nusd + ?3 <= ?7"
)
_SETTLE = (
    "UPDATE budgets SET reserved_calls = reserved_calls - ?1, reserved_tokens = reserved_tokens - ?2,"
    " reserved_nusd = reserved_nusd - ?3, spent_calls = spent_calls + ?4, spent_tokens = spent_tokens + ?5,"
    " spent_nusd = spent_nusd + ?6, broken_calls = broken_calls + ?7, broken_tokens = broken_tokens + ?8,"
    " broken_nusd = broken_nusd + ?9 WHERE scope = ?10"
)
_TOTALS = (
    "SELECT spent_calls, spent_tokens, spent_nusd, reserved_calls, reserved_tokens, reserved_nusd, broken_calls,"
    " broken_tokens, broken_nusd"
)

_NANO = 10**9
_DECIMALS = 9
_AMOUNT = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_NO_LIMIT = 2**62  # sums stay within SQLite's integers


class Ceilings(NamedTuple):
    """The most that may be spent and reserved together; None is no ceiling."""

    max_nusd: int | None = None
    max_calls: int | None = None
    max_tokens: int | None = None

    @classmethod
    def of_flags(
        cls, max_usd: str | None = None, max_calls: int | None = None, max_tokens: int | None = None
    ) -> Ceilings:
        """Ceilings as flags name them; UsageError for an amount of money that cannot be."""
        return cls(None if max_usd is None else parse_usd(max_usd, "--max-usd"), max_calls, max_tokens)

    @property
    def need_bounds(self) -> bool:
        """True when calls must say how many tokens they can use at most."""
        return self.max_nusd is not None or self.max_tokens is not None


NO_CEILINGS = Ceilings()


@dataclass(frozen=True, slots=True)
class Totals:
    """Amounts used by a scope, and amounts set aside for calls in flight or of unknown fate."""

    spent_calls: int = 0
    spent_tokens: int = 0
    spent_nusd: int = 0
    reserved_calls: int = 0
    reserved_tokens: int = 0
    reserved_nusd: int = 0
    broken_calls: int = 0
    broken_tokens: int = 0
    broken_nusd: int = 0


class Budget:
    """The totals of every scope in the journal's database.

    Every method runs inside the caller's transaction, which holds the write lock (BEGIN IMMEDIATE).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def reserve(
        self, scope: str, *, calls: int = 1, tokens: int, cost_nusd: int, ceilings: Ceilings = NO_CEILINGS
    ) -> str:
        """Set the worst case of a call, or of a batch of them, aside.

        Returns "" when that is done, or why nothing was: which ceiling would be passed, and how full it is.
        """
        if ceilings.need_bounds and not tokens and not cost_nusd:
            raise ValueError("a call whose tokens have no bound cannot be held under a ceiling")
        limits = (
            _NO_LIMIT if ceilings.max_calls is None else ceilings.max_calls,
            _NO_LIMIT if ceilings.max_tokens is None else ceilings.max_tokens,
            _NO_LIMIT if ceilings.max_nusd is None else ceilings.max_nusd,
        )
        for _ in range(2):
            if self._execute(_RESERVE, (calls, tokens, cost_nusd, scope, *limits)).rowcount:
                return ""
            if not self._execute("INSERT OR IGNORE INTO budgets (scope) VALUES (?)", (scope,)).rowcount:
                break
        return _refusal(self.totals(scope), calls, tokens, cost_nusd, ceilings)

    def settle(
        self,
        scope: str,
        *,
        reserved_tokens: int,
        reserved_nusd: int,
        tokens: int,
        cost_nusd: int,
        calls: int = 1,
    ) -> bool:
        """Replace the reservation of calls by their usage; returns whether that was within the bound.

        More than was reserved is entered as it is, and counted as broken; where nothing was reserved there was no
        bound to break. A call given up for lost settles at what was reserved. `calls` 0 enters what was used by calls
        that had never reserved anything.
        """
        more_tokens = max(tokens - reserved_tokens, 0) if reserved_tokens else 0
        more_nusd = max(cost_nusd - reserved_nusd, 0) if reserved_nusd else 0
        broken_calls = calls if more_tokens or more_nusd else 0
        self._move(
            scope, calls, reserved_tokens, reserved_nusd, calls, tokens, cost_nusd, broken_calls, more_tokens, more_nusd
        )
        return not broken_calls

    def release(self, scope: str, *, calls: int = 1, tokens: int, cost_nusd: int) -> None:
        """Give back the reservation of calls that no server can have answered: they were not sent."""
        self._move(scope, calls, tokens, cost_nusd, 0, 0, 0, 0, 0, 0)

    def totals(self, scope: str) -> Totals:
        row = self._execute(f"{_TOTALS} FROM budgets WHERE scope = ?", (scope,)).fetchone()
        return Totals() if row is None else Totals(*row)

    def all_totals(self) -> dict[str, Totals]:
        rows = self._execute(f"{_TOTALS}, scope FROM budgets ORDER BY scope")
        return {str(scope): Totals(*numbers) for *numbers, scope in rows}

    def _move(self, scope: str, *numbers: int) -> None:
        """Move amounts from reserved to spent; the table's checks refuse to take more out than was put in."""
        if self._execute(_SETTLE, (*numbers, scope)).rowcount:
            return
        if any(numbers[:3]):
            raise sqlite3.IntegrityError(f"nothing was ever reserved under budget scope {scope!r}")
        self._execute("INSERT INTO budgets (scope) VALUES (?)", (scope,))
        self._execute(_SETTLE, (*numbers, scope))


def parse_usd(text: str, thing: str) -> int:
    """Nano-USD of an amount like "1.50", digit by digit and so exactly; `thing` names it in a UsageError."""
    amount = _AMOUNT.fullmatch(text.strip())
    if amount is None:
        cure = f"write it like 1.50, with at most {_DECIMALS} decimals"
        raise UsageError(thing, f"{text!r} is not an amount in USD", cure)
    whole, part = amount.groups(default="")
    return int(whole) * _NANO + int(part.ljust(_DECIMALS, "0"))


def usd(nusd: int) -> str:
    """An amount of nano-USD as text, exactly, with two decimals or as many as it takes: "1.50", "0.000012"."""
    whole, part = divmod(nusd, _NANO)
    return f"{whole}.{f'{part:09d}'.rstrip('0'):0<2}"


def _refusal(totals: Totals, calls: int, tokens: int, cost_nusd: int, ceilings: Ceilings) -> str:
    quantities = (
        ("--max-usd", ceilings.max_nusd, totals.spent_nusd, totals.reserved_nusd, cost_nusd, usd),
        ("--max-calls", ceilings.max_calls, totals.spent_calls, totals.reserved_calls, calls, str),
        ("--max-tokens", ceilings.max_tokens, totals.spent_tokens, totals.reserved_tokens, tokens, str),
    )
    for flag, ceiling, spent_amount, reserved_amount, more, show in quantities:
        if ceiling is not None and spent_amount + reserved_amount + more > ceiling:
            aside = f", {show(reserved_amount)} set aside for calls without an answer" if reserved_amount else ""
            return f"{flag} {show(ceiling)} has no room for {show(more)} more: {show(spent_amount)} used{aside}"
    raise sqlite3.IntegrityError(f"budget totals out of range: {totals}")
