"""Runs the mission over the demo's world: the same commands a user types, each as its own process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sourcing.demo.site import DemoSite
from sourcing.demo.synth import require_sound, write_all
from sourcing.demo.web import Web, build_web, review_urls
from sourcing.demo.world import World, build_world, catalogue_csv
from sourcing.errors import CrossmusimError, InputError, UsageError

__all__ = ["QUERIES", "DemoOptions", "Mission", "StepFailed", "lay_out", "run_demo", "serve_forever"]

#: What the demo searches for, and the label a good hit carries.
QUERIES = (
    ("calm solo piano", "lead", "piano"),
    ("distorted electric guitar with pounding rock drums", "lead", "overdrive"),
    ("a fast 8-bit square-wave melody", "lead", "chip"),
)
_MARKER = "demo.json"
_PORT = 20_815  # below the range that systems hand out by themselves
_TAIL_LINES = 12


@dataclass(frozen=True)
class DemoOptions:
    """The options of `crossmusim demo`; `program` is how printed lines spell the program."""

    out: Path
    seed: int = 0
    tracks: int = 300
    documents: int = 28  # mined with the embedded model, at most
    fresh: bool = False
    program: str = "crossmusim"


class StepFailed(CrossmusimError):
    """Error for a demo command that failed; the command's exit code is passed on."""

    def __init__(self, thing: str, finding: str, cure: str, exit_code: int) -> None:
        super().__init__(thing, finding, cure)
        self.exit_code = exit_code


@dataclass
class Mission:
    """The steps of a demo so far: each one's command line, JSON answer and seconds, in order."""

    options: DemoOptions
    say: Callable[[str], None]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)

    def step(self, name: str, shows: str, arguments: Iterable[object]) -> dict[str, Any]:
        """Run `crossmusim --workspace OUT --json ARGUMENTS` and record its answer; StepFailed if it fails."""
        words = [str(argument) for argument in arguments]
        workspace = ["--workspace", str(self.options.out)]
        self.commands[name] = f"{self.options.program} {shlex.join([*workspace, *words])}"
        self.say(f"\n$ {self.commands[name]}\n  {shows}")
        started = time.monotonic()
        # -P: the folder `datasets/` of wherever we stand must not shadow the package of that name
        command = [sys.executable, "-P", "-m", "sourcing.cli", *workspace, "--json", *words]
        code, stdout, tail = _run(command, lambda line: self.say(f"  | {line}"))
        self.seconds[name] = round(time.monotonic() - started, 1)
        answer = _answer(stdout)
        if code != 0 or "error" in answer:
            raise _failed(name, self.commands[name], code, answer, tail)
        self.answers[name] = answer
        self.say(f"  done in {self.seconds[name]:.1f} s")
        return answer

    def timed(self, name: str, shows: str, work: Callable[[], None]) -> None:
        """Run `work`, a step without a command such as inventing the world, announced and timed."""
        self.say(f"\n# {shows}")
        started = time.monotonic()
        work()
        self.seconds[name] = round(time.monotonic() - started, 1)
        self.say(f"  done in {self.seconds[name]:.1f} s")


def run_demo(
    options: DemoOptions,
    say: Callable[[str], None],
    progress: Callable[[str, int], AbstractContextManager[Callable[..., None]]],
) -> tuple[Mission, World]:
    """Invent the world in `options.out`, serve the site on loopback, and run all steps from import to search."""
    require_sound()
    prepare(options)
    out, world = options.out, build_world(options.seed, options.tracks)
    mission = Mission(options, say)
    web = build_web(world)
    shows = f"{len(world.tracks)} tracks by {len(world.artists)} invented artists, synthesised; same seed, same bytes"
    mission.timed("synthesise", shows, lambda: _write_world(out, world, progress))
    with _site(web, out / "site" / "requests.jsonl") as site:
        lay_out(out, web, site.url)
        source(mission)
    learn(mission)
    return mission, world


def prepare(options: DemoOptions) -> None:
    """Make `out` an empty folder for the demo; InputError for an earlier demo without --fresh."""
    out = options.out
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
    elif not (out / _MARKER).exists():
        raise UsageError(f"--out {out}", "there is something in it that no demo made", "name a new or empty folder")
    elif not options.fresh:
        raise InputError(
            f"folder {out}", "it holds an earlier demo", "add --fresh to replace it, or name another with --out"
        )
    else:
        shutil.rmtree(out)
        out.mkdir()
    (out / _MARKER).write_text(json.dumps({"finished": False}) + "\n", encoding="utf-8")


def lay_out(out: Path, web: Web, url: str) -> None:
    """Write settings that point three sources at the site and disable the rest, and the list of review URLs."""
    from sourcing.crawling.sources import SOURCES

    sources = {"musicbrainz": "musicbrainz", "wikipedia": "wikipedia", "schemaorg": "reviews"}
    tables = [
        f'[sources.{name}]\nbase_url = "{url}/{path}"\nrate_per_s = 200\nconcurrency = 8\n'
        for name, path in sources.items()
    ]
    tables += [f"[sources.{name}]\nenabled = false\n" for name in SOURCES if name not in sources]
    crawl = '[crawl]\ncontact = "demo@example.org"\nallow_private_hosts = true   # the site is on loopback\n'
    out.mkdir(parents=True, exist_ok=True)
    (out / "crossmusim.toml").write_text("\n".join([crawl, *tables]), encoding="utf-8")
    urls = review_urls(web, f"{url}/reviews")
    (out / "review-urls.txt").write_text("\n".join(urls) + "\n", encoding="utf-8")


def source(mission: Mission) -> None:
    """Run the steps that make descriptions of the catalogue: import, crawl, match, mine."""
    out, mined = mission.options.out, mission.options.documents
    mission.step(
        "import",
        "Reads the owner's catalogue; two rows are bad on purpose.",
        ["catalogue", "import", out / "catalogue.csv"],
    )
    mission.step(
        "crawl",
        "Asks the three sources, politely; every answer is on disk before it is parsed.",
        ["crawl", "run", "--urls", out / "review-urls.txt"],
    )
    mission.step("crawl status", "Counts the tasks: fetched, failed, denied.", ["crawl", "status"])
    mission.step("match", "Decides which document is about which track.", ["match", "run"])
    local = ["--endpoint", "local", "--limit", mined]
    mission.step("plan", "Shows what mining would send; nothing is sent.", ["generate", "plan", "mine", *local])
    mission.step(
        "mine",
        "A small model on this machine quotes what the pages say of the sound; each quote is checked.",
        ["generate", "run", "mine", *local],
    )
    mission.step("generate status", "Counts the journal's calls.", ["generate", "status"])


def learn(mission: Mission) -> None:
    """Run the steps that make hits of descriptions: publish, verify, train, evaluate, embed, search."""
    out, seed = mission.options.out, mission.options.seed
    root = ["--root", out / "datasets"]
    why = "first version of the demo: tags, lead sentences, mined aspects"
    mission.step(
        "publish", "Freezes the descriptions as a dataset version.", ["dataset", "publish", "demo", *root, "--why", why]
    )
    mission.step("verify", "Checks every byte against the manifest.", ["dataset", "verify", "demo", *root])
    trained = mission.step(
        "train",
        "Learns one space for sound and words.",
        ["train", "demo", *root, "--recipe", "demo", "--text-model", "embedded", "--seed", seed],
    )
    model = trained["model"]
    mission.step(
        "evaluate", "Measures retrieval on artists it never heard, beside chance.", ["evaluate", model, "demo", *root]
    )
    mission.step("embed", "Embeds the catalogue for searching.", ["embed", model])
    for text, facet, value in QUERIES:
        mission.step(f"search {text}", f"By words; good hits have {facet}={value}.", ["search", text])
    like = _likeable(out)
    mission.step(f"like {like}", "By sound: what resembles this track.", ["search", "--like", like])


def serve_forever(options: DemoOptions, port: int, say: Callable[[str], None], progress: Callable[..., Any]) -> None:
    """Write the demo's catalogue and settings and serve the site until interrupted, for crawls by hand."""
    world = build_world(options.seed, options.tracks)
    web = build_web(world)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    _write_world(out, world, progress)
    with DemoSite(web, out / "site" / "requests.jsonl", port) as site:
        lay_out(out, web, site.url)
        program = f"{options.program} --workspace {shlex.quote(str(out))}"
        say(f"serving {site.url} (requests are logged in {out / 'site' / 'requests.jsonl'}); Ctrl-C ends it. Now try:")
        say(f"  {program} catalogue import {shlex.quote(str(out / 'catalogue.csv'))}")
        say(f"  {program} crawl run --urls {shlex.quote(str(out / 'review-urls.txt'))}")
        threading.Event().wait()


def finish(mission: Mission, result: dict[str, Any]) -> None:
    """Write the result to OUT/demo.json, which marks the folder as a finished demo."""
    text = json.dumps({"finished": True, **result}, indent=2, ensure_ascii=False, default=str)
    (mission.options.out / _MARKER).write_text(text + "\n", encoding="utf-8")


def _site(web: Web, log_path: Path) -> DemoSite:
    """The site on the port of every demo: pages keep their addresses, and a seed gives the same figures again."""
    try:
        return DemoSite(web, log_path, _PORT)
    except OSError:  # another demo has it
        return DemoSite(web, log_path)


def _write_world(
    out: Path, world: World, progress: Callable[[str, int], AbstractContextManager[Callable[..., None]]]
) -> None:
    (out / "catalogue.csv").write_text(catalogue_csv(world), encoding="utf-8")
    jobs = [(out / track.audio, track.spec) for track in world.tracks]
    with progress("synthesising", len(jobs)) as advance:
        write_all(jobs, processes=min(2, os.cpu_count() or 1), advance=advance)


def _likeable(out: Path) -> str:
    """A track to search from: the first solo piano of the catalogue, so that a reader can judge the hits."""
    import polars as pl

    rows = pl.read_csv(out / "catalogue.csv", infer_schema_length=0)
    piano = rows.filter(pl.col("labels").str.contains("lead=piano"))
    return str((piano if len(piano) else rows)["track_id"][0])


def _run(command: list[str], say: Callable[[str], None]) -> tuple[int, str, list[str]]:
    """The exit code, stdout and last stderr lines of a command; stderr is passed to `say` line by line."""
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout and process.stderr
        reader = threading.Thread(target=_relay, args=(process.stderr, tail, say), daemon=True)
        reader.start()
        try:
            stdout = process.stdout.read()
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()  # it closes its logs and ends; a second signal after Ctrl-C does no harm
            process.wait()
            raise
        reader.join()
    return code, stdout, list(tail)


def _relay(stream: IO[str], tail: deque[str], say: Callable[[str], None]) -> None:
    for line in stream:
        if line.strip():
            tail.append(line.rstrip())
            say(line.rstrip())


def _answer(stdout: str) -> dict[str, Any]:
    try:
        answer = json.loads(stdout)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _failed(name: str, command: str, code: int, answer: dict[str, Any], tail: list[str]) -> StepFailed:
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    message = message or ("\n    ".join(["its last words:", *tail]) if tail else "it said nothing")
    return StepFailed(f"demo step {name!r}", f"exit code {code}, {message}", f"look closer with `{command}`", code or 1)
