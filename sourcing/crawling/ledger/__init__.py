"""The ledger of a crawl: every request we mean to make, what became of it, and which process may ask which host."""

from sourcing.crawling.ledger.census import Census
from sourcing.crawling.ledger.ledger import LEDGER_FILE, Ledger, task_key
from sourcing.crawling.ledger.runs import CLAIM_S, Run
from sourcing.crawling.ledger.schema import STATES, Outcome, Task, Validators
from sourcing.crawling.ledger.tallies import ASKED, Tallies, Tally

__all__ = [
    "ASKED",
    "CLAIM_S",
    "LEDGER_FILE",
    "STATES",
    "Census",
    "Ledger",
    "Outcome",
    "Run",
    "Tallies",
    "Tally",
    "Task",
    "Validators",
    "task_key",
]
