"""Sandbox: templates rendered in a process of their own, within bounds of time, memory and length.

A template that is not plain may loop, multiply and recurse as it likes. Nothing inside a process can stop all of that,
so the process stops itself: after `_CPU_S` of one rendering by an exception that knows its line, and where a single
instruction takes longer than that, by the system's timer.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import IO, Any, NoReturn, cast

import jinja2

from sourcing.errors import PromptError
from sourcing.generation.packs.templates import Templates, compile_template, render_error, template_environment

__all__ = ["MAX_MESSAGE_CHARS", "Sandbox"]

MAX_MESSAGE_CHARS = 1_000_000
_CPU_S, _KILL_S = 2.0, 4.0
_MEMORY_BYTES = 512 << 20
_LOADER = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
_SIMPLER = "make the template simpler"


class Sandbox:
    """Renders the blocks of one pack. Its process starts with the first rendering and ends with this object."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates
        self.process: subprocess.Popen[bytes] | None = None

    def render(self, values: Mapping[str, Any]) -> list[str]:
        """The text of each block; PromptError with file and line where one fails or passes a bound."""
        process = self.process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it ended: reading tells
            _write(process.stdin, values)
        texts: list[str] = []
        for block in self._templates.blocks:
            line = process.stdout.readline()
            if not line:
                self._ended(process, block)
            answer = json.loads(line)
            if not isinstance(answer, str):
                raise PromptError(*answer)
            texts.append(answer)
        return texts

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],  # -P: never modules of the folder we are in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**_LOADER, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # and no secrets
            start_new_session=True,  # an interrupt is ours to answer
        )
        weakref.finalize(self, _end, process)
        assert process.stdin is not None
        _write(process.stdin, self._templates)
        return process

    def _ended(self, process: subprocess.Popen[bytes], block: str) -> NoReturn:
        self.process = None
        _end(process)
        finding = f"rendering the message from there on was ended after {_KILL_S:g} s or for want of memory"
        raise PromptError(f"{self._templates.file} line {_first_line(block)}", finding, _SIMPLER)


def _first_line(block: str) -> int:
    return len(block) - len(block.lstrip("\n")) + 1


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _write(stream: IO[bytes], value: object) -> None:
    stream.write(json.dumps(value).encode() + b"\n")
    stream.flush()


class _TooLong(Exception):
    """A rendering that passes a bound of time or length."""


def _out_of_time(*_: object) -> NoReturn:
    raise _TooLong(f"it takes longer than {_CPU_S:g} s")


def _serve() -> None:
    """In the process: a line with the templates, then a line of values each, answered by a line per block."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _out_of_time)
    templates = Templates(*json.loads(sys.stdin.buffer.readline()))
    environment = template_environment(templates.includes)
    by_block: dict[str, jinja2.Template] = {}
    for request in sys.stdin.buffer:
        for answer in _answers(templates, environment, by_block, json.loads(request)):
            _write(sys.stdout.buffer, answer)


def _answers(
    templates: Templates,
    environment: jinja2.Environment,
    by_block: dict[str, jinja2.Template],
    values: dict[str, Any],
) -> Iterator[str | Sequence[str]]:
    """The text of each block; thing, finding and cure of the first that fails, which is the last answer."""
    for block in templates.blocks:
        signal.setitimer(signal.ITIMER_PROF, _CPU_S, 0.1)  # again, should it be caught as an error of the template
        signal.setitimer(signal.ITIMER_VIRTUAL, _KILL_S)
        try:
            template = by_block.get(block) or compile_template(block, templates.file, environment)
            by_block[block] = template
            text = _text(template, values)
        except Exception as error:  # whatever a template does, it is the template's error
            stop = render_error(error, templates.file, _first_line(block))
            yield stop.thing, stop.found, stop.cure
            return
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        yield text


def _text(template: jinja2.Template, values: dict[str, Any]) -> str:
    pieces, length = [], 0
    rendering = cast(Generator[str], template.generate(values))
    for piece in rendering:
        pieces.append(piece)
        length += len(piece)
        if length > MAX_MESSAGE_CHARS:  # raised where it stands, so that its line is known
            rendering.throw(_TooLong(f"a message is longer than {MAX_MESSAGE_CHARS:,} characters"))
    return "".join(pieces).strip()


if __name__ == "__main__":
    _serve()
