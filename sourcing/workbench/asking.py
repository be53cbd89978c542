"""Asking: items sent to a model through a journal of the workbench's own, so that no reply is paid twice.

The journal lies in the workspace under `workbench/`, apart from the catalogue's: what a draft of a prompt gave never
becomes a description. Calls are found by their request keys, whichever set of items first asked them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sourcing.errors import CrossmusimError
from sourcing.generation.calls import PlannedCall
from sourcing.generation.cost.estimate import EMBEDDED, HOSTED, Estimate, Load, estimate
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.plan_writer import enter_run
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.render import render
from sourcing.generation.planning.plan import Step
from sourcing.generation.planning.request_maker import RequestMaker
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.payload import read_payload
from sourcing.generation.run.job import NO_RATES, Rates, run_tools
from sourcing.generation.run.options import RunOptions, RunResult, RunTools
from sourcing.generation.run.run import run_calls
from sourcing.generation.wire import sha256_hex
from sourcing.workbench.items import Item
from sourcing.workbench.replay import check
from sourcing.workbench.trials import Outcome, Trial, Usage, make_trial

__all__ = ["Asking", "Forecast"]


@dataclass(frozen=True)
class Forecast:
    """Calls of a plan that are answered, and what those still to be sent may cost."""

    planned: int
    answered: int
    estimate: Estimate

    @property
    def to_send(self) -> int:
        return self.planned - self.answered


@dataclass(frozen=True)
class Asking:
    """One pack put to one model about some items; `folder` holds the workbench's journal."""

    folder: Path
    pack: Pack
    endpoint: Endpoint
    items: Sequence[Item]
    options: RunOptions
    rates: Rates = NO_RATES

    @property
    def journal_dir(self) -> Path:
        return self.folder / "generation"

    @cached_property
    def calls(self) -> list[tuple[Item, tuple[PlannedCall, ...]]]:
        """Each item with its planned calls, one per sample; PromptError where its messages do not render."""
        maker = RequestMaker(self.pack, self.endpoint)
        calls = []
        for item in self.items:
            messages = render(self.pack, item.inputs)
            own = tuple(self._call(maker, item, messages, idx) for idx in range(self.samples(item)))
            calls.append((item, own))
        return calls

    def samples(self, item: Item) -> int:
        return max(item.samples, self.pack.samples)

    def _call(
        self, maker: RequestMaker, item: Item, messages: Sequence[dict[str, str]], sample_idx: int
    ) -> PlannedCall:
        request_key, body = maker.make(messages, sample_idx)
        return PlannedCall(
            request_key=request_key,
            prompt_id=self.pack.id,
            prompt_version=self.pack.version,
            prompt_hash=self.pack.prompt_hash,
            track_id=item.track["track_id"],
            doc_id=item.doc_id,
            sample_idx=sample_idx,
            language=item.language,
            model=self.endpoint.model,
            body=body,
        )

    def forecast(self) -> Forecast:
        """Count the calls that have no reply yet, and weigh what they may cost."""
        load, states = Load(self.options.price), Counter[str]()
        with Journal.read(self.journal_dir) as journal:
            distinct_calls = {call.request_key: call for _, calls in self.calls for call in calls}
            for call in distinct_calls.values():
                state = journal.reader.states([call.request_key]).get(call.request_key, "planned")
                states["replied" if state == "replied" else "open"] += 1
                if state != "replied":
                    load.add(call.body)
            weighed = estimate(
                load,
                samples=journal.reader.samples(self.pack.id, self.endpoint.model),
                speed=EMBEDDED if self.endpoint.is_local else HOSTED,
                in_flight=1 if self.endpoint.is_local else self.options.concurrency,
            )
        return Forecast(states.total(), states["replied"], weighed)

    def ask(self, *, on_reply: Callable[[], object] = lambda: None) -> RunResult:
        """Send the calls without a reply; `stopped` of the result says why some are left."""
        request_keys = [call.request_key for _, calls in self.calls for call in calls]

        def steps(start: int) -> Iterator[Step]:
            for position, (_, calls) in enumerate(self.calls[start:], start + 1):
                yield Step(position, calls)

        with run_tools(self.journal_dir, self.endpoint, self.rates, RunTools(on_reply=on_reply)) as (journal, tools):
            run = enter_run(
                journal,
                pack=(self.pack.id, self.pack.version, self.pack.prompt_hash),
                endpoint=self.endpoint.identity,
                model=self.endpoint.model,
                plan=sha256_hex("\n".join(request_keys)),
                at=tools.clock(),
            )
            return run_calls(run, steps, journal, self.pack, self.endpoint, self.options, tools)

    def checked_trials(self, stopped: CrossmusimError | None = None) -> list[Trial]:
        """One trial per item and sample, from the replies in the journal, held against what its item expects.

        Without a reply its outcome is ERROR; an item that expects nothing passes here.
        """
        trials = []
        with Journal.read(self.journal_dir) as journal:
            for item, calls in self.calls:
                for call in calls:
                    trial = self._trial(journal, item, call, stopped)
                    trials.append(trial if item.expect.is_empty else check(self.pack, item, trial))
        return trials

    def payloads(self) -> list[Any]:
        """The JSON of each item's first reply, for packs that describe nothing; None where it holds none."""
        values = []
        with Journal.read(self.journal_dir) as journal:
            for _, calls in self.calls:
                answer = journal.reader.answer(calls[0].request_key)
                content = ParsedReply.read(answer.raw).content if answer is not None and answer.raw else None
                values.append(read_payload(content or "").last(lambda value: isinstance(value, dict)))
        return values

    def _trial(self, journal: Journal, item: Item, call: PlannedCall, stopped: CrossmusimError | None) -> Trial:
        answer = journal.reader.answer(call.request_key)
        if answer is None or answer.raw is None:
            state = "was not sent" if answer is None else f"is {answer.state}"
            why = (answer.error if answer is not None else None) or (stopped.found if stopped else "no reply")
            trial = Trial(item.name, call.sample_idx, request_key=call.request_key)
            return trial.with_problems([f"its call {state}: {why}"], Outcome.ERROR)
        usd = None if answer.cost_nusd is None else answer.cost_nusd / 1e9
        usage = Usage(answer.input_tokens, answer.output_tokens, usd, round(answer.seconds, 3))
        return make_trial(
            self.pack, item, answer.raw, sample=call.sample_idx, request_key=call.request_key, usage=usage
        )
