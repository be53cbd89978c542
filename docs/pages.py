"""Pages: the blocks of README and docs/*.md, the commands in them, and what the runnable ones print.

A comment on the line above a fenced block says what a test and `make docs` do with it:

    <!-- run -->            a block of sh or python that is pasted, with those before it, into one bash in a folder
    <!-- prints -->         the output of the block before it; `make docs` writes it
    <!-- prints loosely --> the same, where numbers differ between machines
    <!-- prints for example --> the same, where more than numbers differ: a model's hits; it is held against nothing

`python docs/pages.py` runs the pages in their order and writes their outputs anew.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
#: Pages whose blocks run one after the other in one folder, as each goes on where the one before it ended.
PRACTICE = ("crawling", "generation", "prompts", "datasets", "training")

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[a-z ]+) -->\n)?(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_MADE = re.compile(r"<!-- made: .*?<!-- /made -->", re.DOTALL)
_HEREDOC = re.compile(r"<<'?(\w+)'?\n.*?^\1$", re.MULTILINE | re.DOTALL)
_BETWEEN = "@@ block @@"
_SEPARATORS = frozenset({"&&", "||", "|", "&", ";", "(", ")", "do", "then", "done", "fi", "until", "while", "!"})
_PAGE_LIMIT_S = 600
#: What differs from run to run of one program: times, speeds, ids and hashes.
_VOLATILE = (
    r"\d{4}-\d\d-\d\d[T ][\d:.+]+(?:Z|\+00:00)?", r"\b\d\d-\d\d-\d\d\b", r"\b\d{4}-\d\d-\d\d\b",
    r"\b(?=\w*\d)[0-9a-f]{8,}\b", r"[\d.]+ (?:s|ms|min|h|USD)\b", r"127\.0\.0\.1:\d+", r"\b\d{8}T\d+[\w-]*",
)  # fmt: skip
_VOLATILE_PATTERN = re.compile("|".join(_VOLATILE))
_FIGURES = re.compile(r"\d[\d,.]*")
_WIDTHS = re.compile(r"[ ━─]+")


@dataclass(frozen=True)
class Block:
    """A fenced block; `mark` is the comment above it, `line` where its fence stands."""

    language: str
    text: str
    mark: str
    line: int


def pages() -> list[Path]:
    """README, then the pages of docs by name."""
    return [README, *sorted(DOCS.glob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    return [
        Block(match["language"], match["text"], match["mark"] or "", source.count("\n", 0, match.start("fence")) + 1)
        for match in _FENCE.finditer(source)
    ]


def prose_of(page: Path) -> str:
    """The page without its blocks and without the parts that are made from the code."""
    return _FENCE.sub("", _MADE.sub("", page.read_text(encoding="utf-8")))


def commands_of(block: Block) -> Iterator[list[str]]:
    """Every simple command of a shell block as words; comments, here documents and redirections left out."""
    text = _HEREDOC.sub("\n", block.text).replace("\\\n", " ")
    for line in _whole_lines(text):
        words: list[str] = []
        for word in [*_words(line), ";"]:
            if word not in _SEPARATORS:
                words.append(word)
            elif words:
                yield words
                words = []


def _whole_lines(text: str) -> Iterator[str]:
    """The lines of a script; what stands in quotation marks over several lines is one."""
    begun = ""
    for line in text.splitlines():
        begun += line
        try:
            _words(begun)
        except ValueError:  # a quotation that is not closed yet
            begun += "\n"
        else:
            yield begun
            begun = ""


def _words(line: str) -> list[str]:
    line = re.sub(r"\s\d?>&\d", "", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words, target = [], False  # of a redirection, which the next word is
    for word in lexer:
        redirection = re.match(r"\d?[<>]+(?P<target>.*)", word)
        if not redirection and not target:
            words.append(word)
        target = redirection is not None and not redirection["target"]
    return words


def run_page(page: Path, folder: Path, environment: dict[str, str]) -> list[str]:
    """What each runnable block of the page prints on stdout; AssertionError where one of its commands fails.

    All of them go through one bash, so that variables and background processes live on from block to block. What is
    still running at the end of the page is ended with it.
    """
    runnable = [_pasted(block) for block in blocks_of(page) if block.mark == "run"]
    script = "set -e\n" + f"\necho '{_BETWEEN}'\n".join(runnable)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=environment, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=_PAGE_LIMIT_S)
        finally:
            _end_group(process.pid)
        errors.seek(0)
        outputs = output.split(f"{_BETWEEN}\n")
        assert process.returncode == 0, (
            f"{page.name}, block {len(outputs)} of {len(runnable)} ended with {process.returncode}\n"
            f"{runnable[len(outputs) - 1]}\n{outputs[-1][-1000:]}\n{errors.read()[-3000:]}"
        )
    return outputs


def _pasted(block: Block) -> str:
    return block.text if block.language == "sh" else f"python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK\n"


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def printed_of(page: Path) -> list[tuple[int, Block]]:
    """(number of the runnable block, block that says what it prints), in order."""
    printed, number = [], -1
    for block in blocks_of(page):
        number += block.mark == "run"
        if block.mark.startswith("prints"):
            printed.append((number, block))
    return printed


def comparable(text: str, *, loosely: bool) -> str:
    """The output without what differs from run to run, and without numbers where those of machines differ."""
    text = _VOLATILE_PATTERN.sub("#", text)
    if loosely:
        text = _FIGURES.sub("#", text)
    return "\n".join(_WIDTHS.sub(" ", line).strip() for line in text.strip().splitlines())


def environment_of(folder: Path) -> dict[str, str]:
    """The environment a page runs in: this very program first on the path, no settings of whoever runs it."""
    shim = folder / ".bin" / "crossmusim"
    shim.parent.mkdir(parents=True, exist_ok=True)
    shim.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -P -c "from sourcing.cli import main; main()" "$@"\n', encoding="utf-8"
    )
    shim.chmod(0o755)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CROSSMUSIM_", "OPENAI_"))}
    return {
        **own,
        "PATH": os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "TZ": "UTC",
    }


def rewrite(page: Path, outputs: list[str]) -> None:
    """Put what the runnable blocks printed into the blocks that show it."""
    source = page.read_text(encoding="utf-8")
    number = -1

    def written(match: re.Match[str]) -> str:
        nonlocal number
        mark = match["mark"] or ""
        number += mark == "run"
        if not mark.startswith("prints"):
            return match[0]
        lines = "".join(f"{line.rstrip()}\n" for line in outputs[number].strip("\n").splitlines())
        return f"<!-- {mark} -->\n{match['fence']}{match['language']}\n{lines}{match['fence']}"

    page.write_text(_FENCE.sub(written, source), encoding="utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = environment_of(Path(folder))
        for name in PRACTICE:
            page = DOCS / f"{name}.md"
            print(f"running {page.relative_to(ROOT)}", file=sys.stderr)
            rewrite(page, run_page(page, Path(folder), environment))


if __name__ == "__main__":
    main()
