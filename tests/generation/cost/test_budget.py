"""The ceiling ledger: what is spent and set aside never passes a ceiling, whoever asks and in whatever order."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.errors import UsageError
from sourcing.generation.cost.budget import NO_CEILINGS, SCHEMA, Budget, Ceilings, Totals, parse_usd, usd

CEILINGS = Ceilings(max_nusd=1000, max_calls=10, max_tokens=500)


def ledger(path: Path | str = ":memory:") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA journal_mode = WAL")
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'budgets'").fetchone():
        connection.executescript(SCHEMA)
    return connection


@pytest.fixture
def budget() -> Budget:
    return Budget(ledger())


def test_a_reservation_is_replaced_by_what_was_used(budget: Budget) -> None:
    assert budget.reserve("s", tokens=100, cost_nusd=300, ceilings=CEILINGS) == ""
    assert budget.totals("s") == Totals(reserved_calls=1, reserved_tokens=100, reserved_nusd=300)
    assert budget.settle("s", reserved_tokens=100, reserved_nusd=300, tokens=40, cost_nusd=90)
    assert budget.totals("s") == Totals(spent_calls=1, spent_tokens=40, spent_nusd=90)


def test_a_ceiling_may_be_reached_and_not_passed(budget: Budget) -> None:
    assert budget.reserve("s", tokens=0, cost_nusd=999, ceilings=Ceilings(max_nusd=1000)) == ""
    assert budget.reserve("s", tokens=0, cost_nusd=2, ceilings=Ceilings(max_nusd=1000)) != ""
    assert budget.reserve("s", tokens=0, cost_nusd=1, ceilings=Ceilings(max_nusd=1000)) == ""
    assert budget.totals("s").reserved_nusd == 1000


@pytest.mark.parametrize(
    ("ceilings", "told"),
    [
        (Ceilings(max_nusd=450), "--max-usd 0.00000045 has no room for 0.0000003 more: 0.0000001 used, 0.0000002"),
        (Ceilings(max_calls=2), "--max-calls 2 has no room for 1 more: 1 used, 1"),
        (Ceilings(max_tokens=50), "--max-tokens 50 has no room for 30 more: 10 used, 20"),
    ],
)
def test_a_refusal_says_which_ceiling_and_how_full_it_is(budget: Budget, ceilings: Ceilings, told: str) -> None:
    budget.reserve("s", tokens=20, cost_nusd=200)
    budget.settle("s", reserved_tokens=20, reserved_nusd=200, tokens=10, cost_nusd=100)
    budget.reserve("s", tokens=20, cost_nusd=200)
    before = budget.totals("s")
    refusal = budget.reserve("s", tokens=30, cost_nusd=300, ceilings=ceilings)
    assert refusal == f"{told} set aside for calls without an answer"
    assert budget.totals("s") == before


def test_a_call_that_was_not_sent_gives_everything_back(budget: Budget) -> None:
    assert budget.reserve("s", tokens=500, cost_nusd=1000, ceilings=CEILINGS) == ""
    assert budget.reserve("s", tokens=1, cost_nusd=1, ceilings=CEILINGS) != ""
    budget.release("s", tokens=500, cost_nusd=1000)
    assert budget.totals("s") == Totals()
    assert budget.reserve("s", tokens=1, cost_nusd=1, ceilings=CEILINGS) == ""


def test_a_failed_attempt_counts_as_a_call(budget: Budget) -> None:
    for _ in range(2):
        assert budget.reserve("s", tokens=9, cost_nusd=9, ceilings=Ceilings(max_calls=2)) == ""
        budget.settle("s", reserved_tokens=9, reserved_nusd=9, tokens=0, cost_nusd=0)
    assert "--max-calls 2" in budget.reserve("s", tokens=9, cost_nusd=9, ceilings=Ceilings(max_calls=2))


def test_a_broken_bound_is_entered_in_full_and_told(budget: Budget) -> None:
    budget.reserve("s", tokens=10, cost_nusd=900, ceilings=CEILINGS)
    assert not budget.settle("s", reserved_tokens=10, reserved_nusd=900, tokens=25, cost_nusd=1200)
    totals = budget.totals("s")
    assert (totals.spent_tokens, totals.spent_nusd) == (25, 1200)
    assert (totals.broken_calls, totals.broken_tokens, totals.broken_nusd) == (1, 15, 300)
    assert "--max-usd" in budget.reserve("s", tokens=1, cost_nusd=0, ceilings=CEILINGS)


def test_where_nothing_was_reserved_no_bound_is_broken(budget: Budget) -> None:
    budget.reserve("s", tokens=0, cost_nusd=0)
    assert budget.settle("s", reserved_tokens=0, reserved_nusd=0, tokens=70, cost_nusd=0)
    assert budget.totals("s") == Totals(spent_calls=1, spent_tokens=70)


def test_what_was_used_without_a_reservation_can_be_entered_under_a_new_scope(budget: Budget) -> None:
    budget.settle("s", calls=0, reserved_tokens=0, reserved_nusd=0, tokens=70, cost_nusd=9)
    assert budget.totals("s") == Totals(spent_tokens=70, spent_nusd=9)


def test_a_batch_is_reserved_at_once_and_settled_call_by_call(budget: Budget) -> None:
    assert budget.reserve("s", calls=3, tokens=300, cost_nusd=600, ceilings=CEILINGS) == ""
    for _ in range(2):
        budget.settle("s", reserved_tokens=100, reserved_nusd=200, tokens=60, cost_nusd=50)
    budget.release("s", tokens=100, cost_nusd=200)
    assert budget.totals("s") == Totals(spent_calls=2, spent_tokens=120, spent_nusd=100)
    assert budget.reserve("s", calls=9, tokens=9, cost_nusd=9, ceilings=CEILINGS).startswith("--max-calls 10")


def test_taking_out_what_was_never_put_in_is_an_error_and_changes_nothing(budget: Budget) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="nothing was ever reserved"):
        budget.settle("s", reserved_tokens=1, reserved_nusd=1, tokens=1, cost_nusd=1)
    budget.reserve("s", tokens=5, cost_nusd=5)
    budget.release("s", tokens=5, cost_nusd=5)
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        budget.release("s", tokens=5, cost_nusd=5)
    assert budget.totals("s") == Totals()


def test_a_call_without_a_bound_cannot_slip_under_a_ceiling_of_money_or_tokens(budget: Budget) -> None:
    for ceilings in (Ceilings(max_nusd=10), Ceilings(max_tokens=10)):
        with pytest.raises(ValueError, match="no bound"):
            budget.reserve("s", tokens=0, cost_nusd=0, ceilings=ceilings)
    assert budget.reserve("s", tokens=0, cost_nusd=0, ceilings=Ceilings(max_calls=1)) == ""


def test_scopes_do_not_see_each_other_and_all_are_listed(budget: Budget) -> None:
    assert budget.reserve("b", tokens=500, cost_nusd=1000, ceilings=CEILINGS) == ""
    assert budget.reserve("a", tokens=500, cost_nusd=1000, ceilings=CEILINGS) == ""
    assert list(budget.all_totals()) == ["a", "b"]
    assert budget.all_totals()["a"] == budget.totals("a")
    assert budget.totals("c") == Totals()


def test_a_reservation_is_undone_with_the_transaction_it_was_made_in() -> None:
    connection = ledger()
    budget = Budget(connection)
    connection.execute("BEGIN IMMEDIATE")
    budget.reserve("s", tokens=1, cost_nusd=1, ceilings=CEILINGS)
    assert connection.in_transaction
    connection.execute("ROLLBACK")
    assert budget.all_totals() == {}


# --- against a stupid loop ---


@dataclass
class Actor:
    """One that asks: what it has set aside and not yet settled."""

    open: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Paper:
    """The same ledger as plain lists, added up anew every time."""

    held: list[tuple[int, int]] = field(default_factory=list)
    paid: list[tuple[int, int]] = field(default_factory=list)

    def fits(self, tokens: int, nusd: int, ceilings: Ceilings) -> bool:
        every = [*self.held, *self.paid, (tokens, nusd)]
        sums = (sum(nusd for _, nusd in every), len(every), sum(tokens for tokens, _ in every))
        limits = (ceilings.max_nusd, ceilings.max_calls, ceilings.max_tokens)
        return all(limit is None or total <= limit for total, limit in zip(sums, limits, strict=True))


ROOF = st.none() | st.integers(0, 3000)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 4),  # who
        st.sampled_from(["reserve", "reserve", "reserve", "settle", "settle", "release", "lose"]),
        st.integers(1, 400),  # tokens, at most
        st.integers(0, 900),  # nano-USD, at most
        st.floats(0, 1),  # the share that is used
    ),
    max_size=60,
)


@given(STEPS, st.builds(Ceilings, ROOF, st.none() | st.integers(0, 20), ROOF))
def test_spent_and_reserved_never_pass_a_ceiling_whoever_does_what_when(
    steps: list[tuple[int, str, int, int, float]], ceilings: Ceilings
) -> None:
    budget, paper, actors = Budget(ledger()), Paper(), [Actor() for _ in range(5)]
    for who, what, tokens, nusd, share in steps:
        actor = actors[who]
        if what == "reserve":
            granted = budget.reserve("s", tokens=tokens, cost_nusd=nusd, ceilings=ceilings) == ""
            assert granted == paper.fits(tokens, nusd, ceilings)
            if granted:
                actor.open.append((tokens, nusd))
                paper.held.append((tokens, nusd))
        elif actor.open and what == "lose":
            actor.open.pop(0)  # of unknown fate: nobody tells the ledger, and what was reserved stays so
        elif actor.open:
            held = actor.open.pop(0)
            paper.held.remove(held)
            if what == "settle":
                used = int(held[0] * share), int(held[1] * share)
                paper.paid.append(used)
                assert budget.settle(
                    "s", reserved_tokens=held[0], reserved_nusd=held[1], tokens=used[0], cost_nusd=used[1]
                )
            else:
                budget.release("s", tokens=held[0], cost_nusd=held[1])
        totals = budget.totals("s")
        assert (totals.spent_calls, totals.reserved_calls) == (len(paper.paid), len(paper.held))
        assert (totals.spent_tokens, totals.spent_nusd) == tuple(map(sum, zip(*paper.paid, (0, 0), strict=True)))
        assert (totals.reserved_tokens, totals.reserved_nusd) == tuple(map(sum, zip(*paper.held, (0, 0), strict=True)))
        for limit, total in (
            (ceilings.max_nusd, totals.spent_nusd + totals.reserved_nusd),
            (ceilings.max_calls, totals.spent_calls + totals.reserved_calls),
            (ceilings.max_tokens, totals.spent_tokens + totals.reserved_tokens),
        ):
            assert limit is None or total <= limit


def test_connections_that_race_on_one_file_share_one_ceiling(tmp_path: Path) -> None:
    """Four threads ask until they are refused, half of them giving part back; what all were granted fits once."""
    path = tmp_path / "journal.sqlite3"
    ledger(path).close()
    ceilings = Ceilings(max_nusd=10_000, max_calls=300, max_tokens=50_000)
    starting, granted, errors = threading.Barrier(4), [0] * 4, list[BaseException]()

    def ask(who: int) -> None:
        connection = ledger(path)
        budget = Budget(connection)
        starting.wait()
        try:
            while True:
                connection.execute("BEGIN IMMEDIATE")
                refusal = budget.reserve("s", tokens=200, cost_nusd=70 + who, ceilings=ceilings)
                connection.execute("COMMIT")
                if refusal:
                    return
                connection.execute("BEGIN IMMEDIATE")
                if who % 2:
                    budget.release("s", tokens=200, cost_nusd=70 + who)
                    budget.reserve("s", tokens=100, cost_nusd=35, ceilings=NO_CEILINGS)
                    budget.settle("s", reserved_tokens=100, reserved_nusd=35, tokens=100, cost_nusd=35)
                else:
                    budget.settle("s", reserved_tokens=200, reserved_nusd=70 + who, tokens=200, cost_nusd=70 + who)
                connection.execute("COMMIT")
                granted[who] += 35 if who % 2 else 70 + who
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    totals = Budget(ledger(path)).totals("s")
    assert totals.spent_nusd == sum(granted)
    assert totals.reserved_nusd == totals.reserved_calls == 0
    assert 10_000 - 73 < totals.spent_nusd <= 10_000


# --- money as text ---


@given(st.integers(0, 10**18 - 1))
def test_an_amount_survives_being_written_and_read(nusd: int) -> None:
    assert parse_usd(usd(nusd), "x") == nusd


@pytest.mark.parametrize(("text", "nusd"), [("1.50", 1_500_000_000), ("0.1", 10**8), ("0", 0), ("2", 2 * 10**9)])
def test_an_amount_is_read_exactly(text: str, nusd: int) -> None:
    assert Ceilings.of_flags(text) == Ceilings(max_nusd=nusd)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "inf", "1,50", "$1", "1.0000000001", "9999999999", "1.", "٣"])
def test_what_is_not_an_amount_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"--max-usd: .* is not an amount in USD; write it like 1\.50"):
        Ceilings.of_flags(text)


def test_amounts_are_shown_with_as_many_decimals_as_it_takes() -> None:
    assert [usd(n) for n in (0, 1, 1_500_000_000, 12_345_000)] == ["0.00", "0.000000001", "1.50", "0.012345"]
