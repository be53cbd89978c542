"""Messages of a prompt pack: its templates rendered for inputs, with control words of chat templates broken."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import jinja2

from sourcing.errors import PromptError
from sourcing.generation.packs.pack import SHARED_FOLDER, Pack
from sourcing.generation.packs.pack_files import built_in_packs, message_blocks, read_pack_file
from sourcing.generation.packs.templates import template_environment
from sourcing.generation.text.folding import is_hidden

__all__ = ["render", "repair_messages"]

REPAIR_FILE = "repair.j2"
# Words by which chat templates of model families open and close messages; in a value they must stay mere text.
_CONTROL = re.compile(
    r"<\||\|>|<(?=/?(?:s|bos|eos|start_of_turn|end_of_turn)>)|\[(?=/?INST\])"
    r"|<(?=<?/?(?:sys|unk|pad|mask|think|tool_call|tool_response|extra_id_\d+)\b)"
    r"|<(?=｜)|｜(?=>)|\[(?=/?(?:TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\])",
    re.IGNORECASE,
)
_JOINERS = "\u200c\u200d"  # letters of Persian and Indic scripts and emoji are joined or parted by them


def render(pack: Pack, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """The pack's messages for these inputs; PromptError when an input is unknown, missing or of another type."""
    values = {name: _value(pack, name, inputs) for name in pack.inputs}
    unknown = sorted(set(inputs) - set(pack.inputs))
    if unknown:
        raise PromptError(
            f"prompt pack {pack.name}", f"it declares no input {unknown[0]!r}", "declare it, or leave it out"
        )
    texts = pack.renderer(values)
    return [{"role": role, "content": text} for (role, _), text in zip(pack.blocks, texts, strict=True)]


@functools.cache
def _repair_blocks() -> tuple[tuple[str, jinja2.Template], ...]:
    path = built_in_packs() / SHARED_FOLDER / REPAIR_FILE
    environment = template_environment({})
    return tuple(
        (role, environment.from_string(source)) for role, source in message_blocks(path, read_pack_file(path), 1)[0]
    )


def repair_messages(reply: str, problem: str) -> list[dict[str, str]]:
    """The messages that ask for a reply to be mended: the reply, and what is wrong with it."""
    values = {"reply": _defuse(reply), "problem": _defuse(problem)}
    return [{"role": role, "content": template.render(values).strip()} for role, template in _repair_blocks()]


def _value(pack: Pack, name: str, inputs: Mapping[str, Any]) -> Any:
    spec = pack.inputs[name]
    value = inputs.get(name)
    if value is None:
        if spec.required:
            raise PromptError(f"prompt pack {pack.name}", f"its required input {name!r} has no value", "give it one")
        return {"string": "", "list": []}.get(spec.type)
    fits = {
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "list": isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value),
    }
    if not fits[spec.type]:
        odd = next((each for each in value if not isinstance(each, str)), None) if isinstance(value, list) else None
        kind = type(value).__name__ if odd is None else f"a list with {odd!r}, which is no text"
        finding = f"input {name!r} is {kind}, declared {spec.type}"
        raise PromptError(f"prompt pack {pack.name}", finding, "correct the value or the declaration")
    if isinstance(value, str):
        return _defuse(value)
    return [_defuse(item) for item in value] if isinstance(value, (list, tuple)) else value


def _defuse(text: str) -> str:
    """Break control words of chat templates by a space, so that a server's tokenizer sees text; drop what no reader
    sees (tags, directions, zero widths), by which a model could be spoken to unnoticed.
    """
    if not text.isascii():
        text = "".join(c for c in text if c in _JOINERS or c.isspace() or not is_hidden(c))
    return _CONTROL.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text)
