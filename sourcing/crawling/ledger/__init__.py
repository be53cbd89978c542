"""The ledger of a crawl: every planned request with its outcome, and which process may ask which host."""

from sourcing.crawling.ledger.archive import Archive, Refusal
from sourcing.crawling.ledger.census import Census
from sourcing.crawling.ledger.ledger import LEDGER_FILE, Ledger, task_key
from sourcing.crawling.ledger.runs import CLAIM_S, Run
from sourcing.crawling.ledger.schema import STATES, Outcome, Task, Validators
from sourcing.crawling.ledger.tallies import ASKED, MinuteTally, Tallies

__all__ = [
    "ASKED",
    "CLAIM_S",
    "LEDGER_FILE",
    "STATES",
    "Archive",
    "Census",
    "Ledger",
    "MinuteTally",
    "Outcome",
    "Refusal",
    "Run",
    "Tallies",
    "Task",
    "Validators",
    "task_key",
]
