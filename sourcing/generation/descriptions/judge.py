"""Judging: a second model's verdicts on model-made descriptions, and removal of the pieces the verdicts deny.

A judge can only deny. A denied aspect or caption becomes a rejected row with the judge's name; a reply has no other
effect. Replies of judges lie in the journal like all replies, so repeating a judgement is free.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dataframely as dy
import polars as pl

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.packs.judges import _digest, is_author
from sourcing.generation.replies.parsed_reply import ROW_ERROR, name_of
from sourcing.generation.replies.payload import answer_of
from sourcing.generation.text.folding import fold_text
from sourcing.store.schemas import Description, Rejected, Row
from sourcing.store.workspace import rejected_frame

__all__ = ["apply_verdicts"]

_SHOWN_CHARS = 500  # of an aspect that a judge made up
_SHOWN_ASPECTS = 10  # of those a judge made up


def apply_verdicts(
    descriptions: dy.DataFrame[Description], unjudged: dy.DataFrame[Description], verdicts: Iterable[Reply]
) -> tuple[dy.DataFrame[Description], dy.DataFrame[Rejected]]:
    """Remove denied aspects and captions; returns descriptions in the same order, and rejected rows.

    `unjudged` are all descriptions the judges were asked about; `descriptions` may be fewer, or have fewer aspects. An
    aspect or caption is removed when more verdicts deny than confirm it. On a tie, or with more confirming, the piece
    stays and a row (judge_divided) records the denial. A void verdict becomes a rejected row. Per judge and sample the
    newest verdict counts. A pure function, independent of the order of the verdicts.
    """
    replies = sorted(verdicts, key=lambda reply: (reply.doc_id or "", reply.request_key, reply.track_id))
    names = {_parts(reply)[0] for reply in replies}
    descriptions_by_id = {row["description_id"]: row for row in _rows_of(unjudged, names)}
    tallies = {description_id: _Tally() for description_id in descriptions_by_id}
    rejected_rows: list[Row] = []
    for reply in _newest(replies, descriptions_by_id):
        description_id = _parts(reply)[0]
        finding = _standing(reply, descriptions_by_id.get(description_id))
        try:
            findings = (
                [finding] if finding else tallies[description_id].count(reply, descriptions_by_id[description_id])
            )
        except Exception as error:  # one verdict never ends the others
            findings = [Finding(ROW_ERROR, name_of(error))]
        rejected_rows += [rejected_row(reply.request_key, one) for one in findings]
    changed_rows: dict[str, Row] = {}
    for row in _rows_of(descriptions, names):
        row_after, left_out = _judge(row, tallies[row["description_id"]])
        rejected_rows += left_out
        if row_after != row:
            changed_rows[row["description_id"]] = row_after
    return _replaced(descriptions, changed_rows), rejected_frame(_distinct(rejected_rows))


@dataclass
class _Votes:
    """Verdicts that confirm a piece (`borne`), and verdicts that deny the piece (`denied`)."""

    borne: list[Reply] = field(default_factory=list)
    denied: list[Reply] = field(default_factory=list)

    def add(self, reply: Reply, supported: bool) -> None:
        (self.borne if supported else self.denied).append(reply)

    def finding(self, reason: str, what: str, piece: Row) -> Finding | None:
        """Finding `reason` when more verdicts deny than confirm, else judge_divided; None without a denial."""
        if not self.denied:
            return None
        piece = {**piece, "verdicts": [reply.request_key for reply in self.denied]}
        who = sorted({reply.model for reply in self.denied})
        sentence = f"{' and '.join(who)} {'denies' if len(who) == 1 else 'deny'} {what}"
        if len(self.denied) > len(self.borne):
            return Finding(reason, sentence, piece)
        counts = f"{len(self.denied)} of {len(self.denied) + len(self.borne)} verdicts deny it"
        return Finding("judge_divided", f"{sentence}; {counts}, so it stays", piece)


@dataclass
class _Tally:
    """Votes on the aspects (by folded text) and the caption of one description."""

    aspects: dict[str, _Votes] = field(default_factory=dict)
    caption: _Votes = field(default_factory=_Votes)

    def count(self, reply: Reply, description: Row) -> list[Finding]:
        """Count one verdict; returns findings on the parts that do not count, or on the whole unreadable verdict."""
        payload, notes = answer_of(reply, _has_shape, "verdicts")
        if payload is None:
            return notes
        verdicts_of: dict[str, set[bool]] = {}
        texts: dict[str, str] = {}
        for verdict in payload["verdicts"]:
            folded_aspect = fold_text(verdict["aspect"])
            verdicts_of.setdefault(folded_aspect, set()).add(verdict["supported"])
            texts.setdefault(folded_aspect, verdict["aspect"])
        own_aspects = {fold_text(text) for text in description["aspect_list"]}
        findings = notes + _unknown(
            reply, [texts[folded_aspect] for folded_aspect in verdicts_of if folded_aspect not in own_aspects]
        )
        for folded_aspect in verdicts_of.keys() & own_aspects:
            if len(verdicts_of[folded_aspect]) == 1:
                self.aspects.setdefault(folded_aspect, _Votes()).add(reply, *verdicts_of[folded_aspect])
                continue
            twice = f"{reply.model} both bears out and denies {texts[folded_aspect]!r}, so it stays"
            findings.append(Finding("judge_ambiguous", twice, {"text": texts[folded_aspect]}))
        if description["caption"] and _parts(reply)[1] == _digest(description["caption"]):
            self.caption.add(reply, payload["caption_supported"])
        elif description["caption"] and not payload["caption_supported"]:
            finding = f"{reply.model} denied a caption that reads otherwise now; run the judge again"
            findings.append(Finding("judge_outdated", finding))
        return findings


def _judge(row: Row, tally: _Tally) -> tuple[Row, list[Row]]:
    """Description row without denied pieces, and rejected rows for denied and divided pieces."""
    name = {"description_id": row["description_id"], "track_id": row["track_id"]}
    findings: list[Finding] = []
    aspects = []
    for aspect in row["aspects"]:
        votes = tally.aspects.get(fold_text(aspect["text"]), _Votes())
        piece = {**name, "text": aspect["text"], "facet": aspect["facet"]}
        finding = votes.finding("judge_denied", repr(aspect["text"]), piece)
        if finding is not None:
            findings.append(finding)
        if finding is None or finding.reason != "judge_denied":
            aspects.append(aspect)
    caption = row["caption"]
    finding = tally.caption.finding("judge_denied_caption", "the caption", {**name, "caption": caption})
    if finding is not None:
        findings.append(finding)
        caption = None if finding.reason == "judge_denied_caption" else caption
    if not aspects and caption is None and findings:
        findings.append(Finding("judge_left_nothing", "every aspect of it is denied, and no caption is left", name))
    row_after = {**row, "aspects": aspects, "aspect_list": [aspect["text"] for aspect in aspects], "caption": caption}
    return row_after, [rejected_row(row["request_key"], finding) for finding in findings]


def _standing(reply: Reply, description: Row | None) -> Finding | None:
    """Finding on a verdict void as a whole: description unknown, or judge and author are the same model; else None."""
    if description is None:
        return Finding("description_unknown", f"description {_parts(reply)[0]} is no longer made of anything")
    if is_author(reply.model, description["model"]):
        return Finding("judge_is_author", f"{reply.model} made {description['description_id']}, and may not judge it")
    return None


def _newest(replies: Sequence[Reply], descriptions_by_id: Mapping[str, Row]) -> list[Reply]:
    """One verdict per description, judge and sample: the newest on the present caption, else the newest."""

    def rank(reply: Reply) -> tuple[bool, str, str]:
        description_id, digest = _parts(reply)
        current = description_id in descriptions_by_id and digest == _digest(
            descriptions_by_id[description_id]["caption"]
        )
        return current, reply.replied_at.isoformat(), reply.request_key

    newest: dict[tuple[str, str, str, int], Reply] = {}
    for reply in replies:
        place = (_parts(reply)[0], reply.prompt_id, reply.model, reply.sample_idx)
        newest[place] = max(newest.get(place, reply), reply, key=rank)
    return list(newest.values())


def _has_shape(payload: object) -> bool:
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("caption_supported"), bool)
        and isinstance(payload.get("verdicts"), list)
        and all(
            isinstance(verdict, dict)
            and isinstance(verdict.get("aspect"), str)
            and isinstance(verdict.get("supported"), bool)
            for verdict in payload["verdicts"]
        )
    )


def _unknown(reply: Reply, texts: list[str]) -> list[Finding]:
    """One finding for all aspects a judge made up, as a reply may hold thousands; [] without texts."""
    if not texts:
        return []
    short_texts = [text[:_SHOWN_CHARS] for text in texts[:_SHOWN_ASPECTS]]
    finding = (
        f"{reply.model} speaks of {len(texts)} aspects the description does not have, the first {short_texts[0]!r}"
    )
    return [Finding("judge_unknown_aspect", finding, {"texts": short_texts})]


def _replaced(descriptions: dy.DataFrame[Description], changed_rows: Mapping[str, Row]) -> dy.DataFrame[Description]:
    """Replace the changed rows by description_id, and drop changed rows with neither aspect nor caption."""
    if not changed_rows:
        return descriptions
    rows = [row for row in changed_rows.values() if row["aspects"] or row["caption"]]
    others = descriptions.filter(~pl.col("description_id").is_in(list(changed_rows)))
    changed_frame = pl.DataFrame(rows, schema=Description.create_empty().schema, orient="row")
    return Description.validate(pl.concat([others, changed_frame]).sort("description_id"))


def _rows_of(descriptions: pl.DataFrame, description_ids: Iterable[str]) -> list[Row]:
    return descriptions.filter(pl.col("description_id").is_in(list(description_ids))).to_dicts()


def _parts(reply: Reply) -> tuple[str, str]:
    """Description id and caption digest in the judged name of a verdict."""
    description_id, _, digest = (reply.doc_id or "").partition("#")
    return description_id, digest


def _distinct(rows: list[Row]) -> list[Row]:
    """Rows without exact repeats: a request shared by two descriptions is refused once."""
    unique = {json.dumps(row, sort_keys=True): row for row in rows}
    return [unique[key] for key in sorted(unique)]
