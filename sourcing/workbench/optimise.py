"""Optimise: the system message of a pack rewritten and tried by GEPA (Agrawal et al. 2025, arXiv 2507.19457).

Candidates are tried on cases or gold documents, and rewritten by a model that sees what they got wrong; every call of
either goes through the workbench's journal and one budget.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sourcing.errors import CrossmusimError, PromptError, UsageError
from sourcing.generation.packs.pack import Pack
from sourcing.workbench.asking import Asking
from sourcing.workbench.compare import f1_of
from sourcing.workbench.expectations import supported_share
from sourcing.workbench.items import Item
from sourcing.workbench.measures.scores import score
from sourcing.workbench.runs import words_of
from sourcing.workbench.trials import Outcome, Trial

__all__ = ["Optimised", "least_calls", "optimise"]

_COMPONENT = "system"
_MINIBATCH = 3
_SHOWN_CHARS = 1200  # of a document and of a reply, in what the rewriter sees


@dataclass(frozen=True)
class Optimised:
    """The best system message with its score on all items, that of the one before, and how many were tried."""

    instruction: str
    score: float
    score_before: float
    candidates: int


def least_calls(items: int) -> int:
    """Calls without which no second candidate is tried: all items twice, a minibatch twice, and one rewriting."""
    return 2 * items + 2 * _MINIBATCH + 1


def optimise(
    asking: Asking,
    rewriter: Asking,
    *,
    max_calls: int,
    seed: int = 0,
    on_candidate: Callable[[], object] = lambda: None,
) -> Optimised:
    """Search for a better system message of `asking.pack`, within `max_calls` tries of an item.

    UsageError for a budget too small to try more than one candidate; whatever stops a call (a spent budget, a server
    that is gone) is raised. Equal arguments and replies give the equal result, so that a stopped search goes on.
    """
    if max_calls < least_calls(len(asking.items)):
        finding = f"{len(asking.items)} items need {least_calls(len(asking.items))} to try a second candidate"
        raise UsageError(f"--max-calls {max_calls}", finding, "raise it, or take fewer items")
    try:
        gepa: Any = importlib.import_module("gepa")  # untyped on purpose: its types know no items of ours
    except ModuleNotFoundError as error:
        cure = "run `pip install '.[optimise]'`"
        raise UsageError("prompts optimise", "the optimiser is not installed", cure) from error
    adapter = _Adapter(asking, rewriter, on_candidate)
    result = gepa.optimize(
        seed_candidate={_COMPONENT: _system(asking.pack)},
        trainset=list(asking.items),
        valset=list(asking.items),
        adapter=adapter,
        reflection_minibatch_size=_MINIBATCH,
        max_metric_calls=max_calls,
        cache_evaluation=True,
        seed=seed,
        logger=_Quiet(),
    )
    scores = result.val_aggregate_scores
    best = result.best_candidate[_COMPONENT]
    return Optimised(best, max(scores), scores[0], len(scores))


class _Quiet:
    """GEPA's logger; progress is told by the command."""

    def log(self, message: str) -> None: ...


class _Adapter:
    """What GEPA asks for: candidates tried on items, evidence of what went wrong, new texts."""

    def __init__(self, asking: Asking, rewriter: Asking, on_candidate: Callable[[], object]) -> None:
        self.asking, self.rewriter, self.on_candidate = asking, rewriter, on_candidate

    def evaluate(self, batch: list[Item], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Try a candidate on items; one that is no plain text scores nothing."""
        from gepa.core.adapter import EvaluationBatch

        pack = with_system(self.asking.pack, candidate[_COMPONENT])
        if pack is None:
            trials = [Trial(item.name).with_problems(["it holds template code"], Outcome.ERROR) for item in batch]
        else:
            trials = _ask(replace(self.asking, pack=pack, items=batch))
        scores = [_score(item, trial) for item, trial in zip(batch, trials, strict=True)]
        pairs = list(zip(batch, trials, strict=True))
        return EvaluationBatch(outputs=trials, scores=scores, trajectories=pairs if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What the rewriter sees of a minibatch."""
        pairs = zip(eval_batch.trajectories, eval_batch.scores, strict=True)
        return {_COMPONENT: [{"text": _evidence(item, trial, value)} for (item, trial), value in pairs]}

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Ask for a better instruction; the old one comes back where the reply holds none."""
        self.on_candidate()
        evidence = "\n\n".join(row["text"] for row in reflective_dataset[_COMPONENT])
        inputs = {"instruction": candidate[_COMPONENT], "evidence": evidence}
        item = Item("rewrite", inputs, {"track_id": "rewrite"})
        asking = replace(self.rewriter, items=[item])
        stopped = asking.ask().stopped
        if stopped is not None:
            raise stopped
        written = asking.payloads()[0]
        text = written.get("instruction") if isinstance(written, dict) else None
        return {_COMPONENT: text if isinstance(text, str) and text.strip() else candidate[_COMPONENT]}


def _system(pack: Pack) -> str:
    text = next((source for role, source in pack.blocks if role == "system"), None)
    if text is None or "{" in text:
        finding = "it has no system message of plain text, which is what is rewritten"
        raise PromptError(f"prompt pack {pack.name}", finding, "put its instruction there, and its inputs below")
    return text


def with_system(pack: Pack, text: str) -> Pack | None:
    """The pack with another system message; None for one with template code or message markers in it."""
    if any(mark in text for mark in ("{{", "{%", "{#", "--- user ---", "--- assistant ---", "--- system ---")):
        return None
    blocks = tuple((role, text if role == "system" else source) for role, source in pack.blocks)
    return replace(pack, blocks=blocks)


def _ask(asking: Asking) -> list[Trial]:
    """The first sample of each item; raises what stopped the asking."""
    stopped: CrossmusimError | None = asking.ask().stopped
    if stopped is not None:
        raise stopped
    return [trial for trial in asking.checked_trials() if trial.sample == 0]


def _score(item: Item, trial: Trial) -> float:
    """F1 on a gold document; on a case 1 where it passes, else half the share of what is supported."""
    if trial.outcome is Outcome.ERROR:
        return 0.0
    if item.gold is not None:
        return f1_of(score(item.gold, words_of(trial)).counts)
    return 1.0 if trial.outcome is Outcome.PASS else (supported_share(trial) or 0.0) / 2


def _evidence(item: Item, trial: Trial, value: float) -> str:
    lines = [
        f"DOCUMENT: {(item.source or '')[:_SHOWN_CHARS]}",
        f"REPLY: {(trial.reply or 'none')[:_SHOWN_CHARS]}",
        f"KEPT: {', '.join(trial.texts) or 'nothing'}",
        f"LEFT OUT: {'; '.join(row['finding'] for row in trial.rejected[:8]) or 'nothing'}",
        f"WRONG: {'; '.join(trial.problems) or 'nothing'}",
        f"SCORE: {value:.2f} of 1",
    ]
    if item.gold is not None:
        lines.append(f"WANTED: {', '.join(aspect.text for aspect in item.gold.aspects) or 'nothing'}")
    return "\n".join(lines)
