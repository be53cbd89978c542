"""Promises about packs that went wrong or mean harm: exit 3 with file and line, in bounded time, nothing sent."""

from __future__ import annotations

import codecs
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_command, run_json
from cpu import within_cpu
from genworld import PROSE, World, documents, matches, tracks, write_pack
from loopback import Asked, Loopback, Reply

from sourcing.errors import PromptError
from sourcing.generation.descriptions.describe import example_aspects
from sourcing.generation.packs.cases import load_cases
from sourcing.generation.packs.lint import lint, mistakes
from sourcing.generation.packs.lint_schema import plain_examples
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.packs.pack_yaml import read_yaml
from sourcing.generation.packs.render import render
from sourcing.generation.planning.plan import Scope
from sourcing.generation.planning.request_maker import RequestMaker
from sourcing.generation.run.job import Job
from sourcing.generation.run.workers import run_in_workers
from sourcing.store import Document, Match, Track, Workspace
from sourcing.workbench.replay import run_case

INPUT = {"title": "Blue", "document": PROSE}
LOOPS = "".join(f"{{% for c{n} in document %}}" for n in range(9)) + "{% endfor %}" * 9
FAILING = {
    "undefined item": "{{ title[99] }}",
    "undefined key": "{{ {}['x'] }}",
    "undefined name": "{{ absent }}",
    "filter on the wrong type": "{{ title | sum }}",
    "unknown filter": "{{ title | shout }}",
    "unknown test": "{{ title is loud }}",
    "blocked attribute": "{{ title.__class__ }}",
    "blocked attribute by filter": "{{ title | attr('__class__') }}",
    "blocked attribute in a format": "{{ '{0.__class__.__mro__}'.format(title) }}",
    "division by zero": "{{ 1 // (title | length - 4) }}",
    "comparison of unlike types": "{{ title < 1 }}",
    "call of what is no function": "{{ title(1) }}",
    "format without values": "{{ '%s %s' | format('a') }}",
    "macro without end": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "include of itself": "{% include 'prompt.j2' %}",
    "import of itself": "{% import 'loop.j2' as loop %}{{ loop.x }}",
    "block within itself": "{% block x %}{{ self.x() }}{% endblock %}",
    "format width": "{{ '%999999999d' % 1 }}",
    "format width of str.format": "{{ '{:>9999999999}'.format(1) }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "loop in loop": LOOPS,
    "repeated text": "{{ title * 10**10 }}",
    "padded text": "{{ 'a'.ljust(10**9) }}",
    "centred text": "{{ title | center(10**9) }}",
    "indented text": "{{ title | indent(10**10) }}",
    "list in a join": "{{ (['aaaaaaaaaa'] * 10**7) | join(document) }}",
    "list of constants": "{{ ['a' * 1000] * 2000 }}",
    "replaced text": "{{ title | replace('', 'x' * 1000) | replace('', 'y' * 1000) | replace('', 'z' * 1000) }}",
    "batch": "{{ title | batch(10**9, 'x') | list }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "power of a power": "{{ ((2 ** 4000) ** 4000) ** 4000 }}",
    "power within a filter": "{{ 1.5 | round(10**9, 'ceil') }}",
    "doubled text": f"{{% set t = [document] %}}{{% for i in document %}}{'{{ t[0] * 1000 }}'}{{% endfor %}}",
    "lipsum": "{{ lipsum(n=100) }}",
    "cycler": "{{ cycler('a') }}",
    "generator printed": "{{ title | map('upper') }}",
    "method printed": "{{ title.upper }}",
    "thirty loops": "{% for a in title %}" * 30 + "{% endfor %}" * 30,
}


@pytest.mark.parametrize("template", FAILING.values(), ids=FAILING)
def test_an_error_while_rendering_names_file_and_line_and_cannot_hang(tmp_path: Path, template: str) -> None:
    folder = write_pack(tmp_path, user=f"What is it?\n{template}\n{{{{ title }}}} {{{{ document }}}}")
    (folder / "loop.j2").write_text("x\n{% import 'loop.j2' as loop %}{{ loop.x }}", encoding="utf-8")
    pack = load_pack(folder)
    with within_cpu(20.0), pytest.raises(PromptError) as error_info:  # the work is done elsewhere, and ended there
        render(pack, INPUT)
    place = "loop.j2 line 2" if "import" in template else f"prompt.j2 line {_line(folder, template)}"
    first = f"prompt.j2 line {_line(folder, 'What is it?')}"  # of the message, where no line of it is to blame
    assert error_info.value.thing.endswith((place, first)), error_info.value
    assert "does not render" in error_info.value.found
    if "document" not in template and "length" not in template:  # fails for every track
        assert any("does not render" in finding and (place in finding or first in finding) for finding in lint(pack))


def test_the_next_rendering_goes_on_after_one_that_was_ended(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path, user="{{ title * document | length ** 6 }}"))
    for _ in range(2):
        with pytest.raises(PromptError):
            render(pack, INPUT)
        assert render(pack, {"title": "Blue", "document": "x"})[1]["content"] == "Blue"


def test_a_process_that_must_be_killed_is_told_of_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = load_pack(write_pack(tmp_path, user="{{ title[0] }}{{ document }}"))
    assert render(pack, INPUT)
    process = pack.renderer.__self__.process  # type: ignore[attr-defined]
    process.kill()
    process.wait()
    with pytest.raises(PromptError, match=r"prompt.j2 line 30: rendering .* was ended"):
        render(pack, INPUT)
    assert render(pack, INPUT)


PLAIN = {
    "inputs": "{{ title }} {{ document }}",
    "harmless filters": "{{ title | upper | replace('</', '< /') }} {{ document | trim }}",
    "condition": "{% if title and not document %}a{% elif title == 'x' %}b{% else %}{{ title or 'c' }}{% endif %}",
    "list": "{{ tags | join(', ') }}{% for tag in tags %}{{ loop.index }}. {{ tag | lower }}{% else %}-{% endfor %}",
}


@pytest.mark.parametrize("template", PLAIN.values(), ids=PLAIN)
def test_plain_templates_are_rendered_here_and_say_the_same_elsewhere(tmp_path: Path, template: str) -> None:
    inputs = {"title": "string", "document": "string", "tags": "list"}
    given = {"title": "Blue </b>", "document": " x\n", "tags": ["A", "b\nc", ""]}
    plain = load_pack(write_pack(tmp_path, "plain", user=template, inputs=inputs))
    elsewhere = load_pack(write_pack(tmp_path, "elsewhere", user=template + "{{ title[:0] }}", inputs=inputs))
    assert (plain.is_plain, elsewhere.is_plain) == (True, False)
    assert render(plain, given) == render(elsewhere, given)


@pytest.mark.parametrize("template", FAILING.values(), ids=FAILING)
def test_nothing_that_can_fail_counts_as_plain(tmp_path: Path, template: str) -> None:
    folder = write_pack(tmp_path, user=template)
    (folder / "loop.j2").write_text("{% import 'loop.j2' as loop %}{{ loop.x }}", encoding="utf-8")
    assert not load_pack(folder).is_plain


@pytest.mark.parametrize(
    "template",
    [
        "{{ document | replace('', title) }}",
        "{{ document | replace('e', 'ee' * 9) }}",
        "{% for a in tags %}{% for b in tags %}{{ b }}{% endfor %}{% endfor %}",
        "{% for a in tags recursive %}{{ loop([a]) }}{% endfor %}",
        "{{ tags | join(document) }}",
        "{{ year | join }}",
        "{{ title + year }}",
        "{{ title[0] }}",
    ],
)
def test_what_multiplies_or_guesses_types_is_not_plain(tmp_path: Path, template: str) -> None:
    inputs = {"title": "string", "document": "string", "tags": "list", "year": "integer"}
    assert not load_pack(write_pack(tmp_path, user=template, inputs=inputs)).is_plain


def _line(folder: Path, template: str) -> int:
    return (folder / "prompt.j2").read_text(encoding="utf-8").partition(template)[0].count("\n") + 1


def _world(root: Path, user: str, titles: list[str], *, server: Loopback) -> World:
    world = World(root, server.url, count=len(titles), user=user)
    rows = tracks(len(titles)).with_columns(title=pl.Series(titles))
    world.workspace.write(Track, Track.validate(rows))
    return world


def _good(body: dict[str, Any], request: Asked) -> Reply:
    return json_reply(completion(json.dumps({"aspects": [], "caption": ""})))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_last_track_that_does_not_render_ends_a_run_before_anything_is_sent(tmp_path: Path, workers: int) -> None:
    with chat_server(_good) as server:
        world = _world(tmp_path, "{{ title[3] }}", ["long enough"] * 99 + ["ab"], server=server)
        with pytest.raises(PromptError, match="asked about track t-099"):
            run_in_workers(world.job(), workers)
        assert server.log == []


@pytest.mark.parametrize("lint_finds", [True, False])
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_plan_and_run_refuse_it_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, lint_finds: bool
) -> None:
    with chat_server(_good) as server:
        request = f"Title:\n{{{{ title[{3 if lint_finds else 1}] }}}}"
        _world(tmp_path, request, ["long"] * 40 + ["a"], server=server)
        arguments = ["--workspace", str(tmp_path), "generate", verb, "recall", "--base-url", f"{server.url}/v1"]
        code, _, told = run_command(capsys, [*arguments, "--model", "m"])
        assert (code, server.log) == (3, [])
    assert "prompt.j2 line 32" in told
    assert ("t-040" in told) is not lint_finds
    assert "Traceback" not in told


def test_one_that_fails_when_calls_are_in_flight_loses_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a table is changed under a run, between the look at all prompts and the call."""
    monkeypatch.setattr(Job, "check_prompts", lambda self: None)
    with chat_server(_good) as server:
        world = _world(tmp_path, "{{ title[3] }} {{ title }}", [f"long {n}" for n in range(70)] + ["ab"], server=server)
        result = world.run()
        assert isinstance(result.stopped, PromptError)
        assert result.replied == len(server.log) == 64
        assert (result.unknown, result.failed) == (0, 0)


@pytest.mark.parametrize("verb", ["lint", "test"])
def test_lint_and_test_end_with_3_and_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    folder = write_pack(tmp_path / "prompts", user="{{ title }}\n{{ document[99999] }}")
    _add_case(folder, {"title": "a", "document": "b"})
    code, _, told = run_command(capsys, ["--workspace", str(tmp_path), "prompts", verb, "mine"])
    assert code == 3
    assert "prompt.j2 line 33" in told


def test_render_ends_with_3_and_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pack(tmp_path / "prompts", user="{{ title }}\n{{ document[99999] }}")
    _add_case(folder, {"title": "a", "document": "b"})
    workspace = Workspace(tmp_path)
    workspace.write(Track, tracks(1))
    workspace.write(Document, documents({"d": PROSE}))
    workspace.write(Match, matches([("t-000", "d")]))
    for what in (["--case", "a"], ["--track", "t-000"]):
        code, _, told = run_command(capsys, ["--workspace", str(tmp_path), "prompts", "render", "mine", *what])
        assert code == 3
        assert "prompt.j2 line 33" in told


def _add_case(folder: Path, inputs: dict[str, Any], content: object = None) -> None:
    (folder / "golden").mkdir(exist_ok=True)
    reply = completion(json.dumps(content if content is not None else {"aspects": [], "caption": ""}))
    (folder / "golden" / "a.json").write_text(reply, encoding="utf-8")
    case = [{"name": "a", "inputs": inputs, "golden": "a.json"}]
    (folder / "cases.yaml").write_text(json.dumps(case), encoding="utf-8")


def test_a_track_with_megabytes_of_tags_is_a_rejected_row(tmp_path: Path) -> None:
    with chat_server(_good) as server:
        world = _world(tmp_path, "{{ title }}", ["Blue", "x" * 100_000], server=server)
        result = world.run()
        assert (result.planned, len(server.log)) == (1, 1)
        with world.journal() as journal:
            assert [row["reason"] for row in journal.reader.refused()] == ["input_too_long"]


@pytest.mark.parametrize(
    ("title", "shown"),
    [("R&B", '"R&B"'), ("Don't", '"Don\'t"'), ("Café", '"Café"'), ("<b>", '"<b>"'), ("東京", '"東京"'),
     ('"so"', '"\\"so\\""'), ("</track>", '"<\\/track>"')],
)  # fmt: skip
def test_tojson_gives_text(tmp_path: Path, title: str, shown: str) -> None:
    pack = load_pack(write_pack(tmp_path, user="{{ title | tojson }}{{ document[:0] }}"))
    assert render(pack, {"title": title, "document": ""})[1]["content"] == shown
    plain = load_pack(write_pack(tmp_path, user="{{ [title] | tojson }}", inputs={"title": "string"}))
    assert json.loads(render(plain, {"title": title})[1]["content"]) == [title]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    ],
    ids=["bom", "crlf", "bom and crlf", "cr", "utf-16", "utf-16 big endian"],
)
def test_the_same_text_in_another_encoding_is_the_same_pack(tmp_path: Path, encode: Any) -> None:
    folder = write_pack(tmp_path, user="Ünlike:\n{{ title }}\n{% include 'part.j2' %} {{ document }}")
    (folder / "part.j2").write_text("pärt\n", encoding="utf-8")
    _add_case(folder, INPUT)
    pack = load_pack(folder)
    for path in (folder / "prompt.j2", folder / "part.j2", folder / "cases.yaml"):
        path.write_bytes(encode(path.read_text(encoding="utf-8")))
    other = load_pack(folder)
    assert other.prompt_hash == pack.prompt_hash
    assert render(other, INPUT) == render(pack, INPUT)
    assert mistakes(other) == []


SCHEMAS = {
    "$ref to the web": ("caption: {$ref: 'http://127.0.0.1:9/x.json'}", "outside the pack"),
    "$ref to the web, encrypted": ("caption: {$ref: 'https://schemas.example/x.json#/a'}", "outside the pack"),
    "$ref to a file": ("caption: {$ref: 'file:///etc/passwd'}", "outside the pack"),
    "relative $ref": ("caption: {$ref: 'other.json'}", "other.json"),
    "$dynamicRef to the web": ("caption: {$dynamicRef: 'http://127.0.0.1:9/x.json'}", "outside the pack"),
    "$ref to nowhere": ("caption: {$ref: '#/$defs/absent'}", "does not exist"),
    "pattern": ("caption: {type: string, pattern: '(['}", "regex"),
    "property pattern": ("caption: {type: object, patternProperties: {'(': {}}}", "regex"),
    "unknown type": ("caption: {type: words}", "words"),
    "length": ("caption: {type: string, maxLength: -1}", "minimum"),
    "properties that are a list": ("caption: {type: object, properties: [a]}", "object"),
    "required that is no list": ("caption: {type: object, required: a}", "array"),
    "schema that is a number": ("caption: 7", "7"),
}


@pytest.mark.parametrize(("schema", "finding"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_that_no_reply_can_be_held_against_is_a_lint_finding_and_nothing_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: str, finding: str
) -> None:
    with chat_server(_good) as server:
        world = _world(tmp_path, "{{ title }}", ["Blue"], server=server)
        path = world.pack_folder / "prompt.j2"
        text = path.read_text(encoding="utf-8").replace("caption: {type: string}", schema)
        path.write_text(text.replace("127.0.0.1:9", server.url.removeprefix("http://")), encoding="utf-8")
        assert any(finding in found for found in mistakes(load_pack(world.pack_folder)))
        with pytest.raises(PromptError):
            world.run()
        arguments = ["--workspace", str(tmp_path), "generate", "run", "recall", "--base-url", f"{server.url}/v1"]
        code, _, told = run_command(capsys, [*arguments, "--model", "m"])
        assert code == 3, told
        assert server.log == []


def test_a_schema_may_point_into_itself(tmp_path: Path) -> None:
    folder = write_pack(tmp_path)
    path = folder / "prompt.j2"
    text = path.read_text(encoding="utf-8").replace("caption: {type: string}", "caption: {$ref: '#/$defs/line'}")
    path.write_text(text.replace("  required: [aspects", "  $defs: {line: {type: string}}\n  required: [aspects"))
    assert mistakes(load_pack(folder)) == []


EXAMPLES = {
    "aspects of quotes only": ({"aspects": [{"quote": "slow piano", "facet": "instrument"}]}, ["slow piano"]),
    "aspects of texts only": ({"aspects": [{"text": "slow piano"}]}, ["slow piano"]),
    "text and quote": ({"aspects": [{"text": "piano", "quote": "a piano"}]}, ["piano", "a piano"]),
    "strings": ({"aspects": ["slow piano"]}, ["slow piano"]),
    "aspects that are a string": ({"aspects": "slow piano"}, []),
    "null": ({"aspects": None}, []),
    "numbers": ({"aspects": [1, 2.5, None, True]}, []),
    "lists": ({"aspects": [["slow piano"], [[]]]}, []),
    "texts of another type": ({"aspects": [{"text": 7, "quote": ["a"]}, {}]}, []),
    "an object": ({"aspects": {"text": "slow"}}, []),
    "a list": (["slow piano"], []),
    "a number": (7, []),
    "none": ({"caption": "slow"}, []),
}


@pytest.mark.parametrize(("example", "aspects"), EXAMPLES.values(), ids=EXAMPLES)
def test_a_worked_example_of_any_shape_stops_nothing(tmp_path: Path, example: object, aspects: list[str]) -> None:
    message = f"{{{{ title }}}}\n--- assistant ---\n{json.dumps(example)}\n--- user ---\n{{{{ document }}}}"
    folder = write_pack(tmp_path, user=message)
    _add_case(folder, INPUT, {"aspects": [{"quote": "slow solo piano", "text": "slow piano", "facet": "x"}]})
    pack = load_pack(folder)
    assert set(aspects) <= set(example_aspects(plain_examples(pack))) or not aspects
    (case,) = load_cases(pack)
    assert run_case(pack, case).texts == ["slow solo piano"]


@pytest.mark.parametrize("text", ["not JSON", "{", "[" * 5000, "{{ title }}", '"\\ud83d"', "NaN", ""])
def test_an_assistant_message_that_is_no_json_is_no_example(text: str) -> None:
    assert example_aspects([("assistant", text), ("user", '{"aspects": ["x"]}')]) == []


BOMB = "\n".join(
    ["a: &a [x,x,x,x,x,x,x,x,x]"] + [f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in pairwise("abcdefghi")]
)
HOSTILE_YAML = {
    "bomb of aliases": (BOMB, "more than 50,000 values"),
    "ring": ("a: &a [*a]", "inside its own anchor"),
    "repeated key": ("a: 1\nb: 2\na: 3", "line 3.*twice"),
    "repeated key further down": ("a: {b: 1, c: 2, b: 3}", "twice"),
    "python object": ("a: !!python/object/apply:os.system ['true']", "line 1"),
    "python name": ("a: !!python/name:os.system", "line 1"),
    "huge integer": ("a: " + "9" * 6000, "digits"),
    "integer of 70 bits": ("a: 1180591620717411303424", "64 bits"),
    "hexadecimal": ("a: 0x" + "f" * 300, "64 bits"),
    "not a number": ("a: .nan", "nan"),
    "infinite": ("a: -.inf", "inf"),
    "bytes": ("a: !!binary aGVsbG8=", "bytes"),
    "set": ("a: !!set {x, y}", "set"),
    "date by tag": ("a: !!timestamp 2001-12-14", "date"),
    "impossible date by tag": ("a: !!timestamp 2001-13-44", "not YAML"),
    "half a character": ('a: "\\ud800"', "half a character"),
    "number as key": ("1: a", "key 1"),
    "list as key": ("? [a, b]\n: c", "line 1"),
    "tab": ("a:\n\t- b", "line 2"),
    "control character": ("a: \x07", "not YAML"),
    "two documents": ("a: 1\n--- \nb: 2", "line"),
    "deep": ("[" * 3000, "nested too deeply"),
    "deep and closed": ("{a: " * 100 + "1" + "}" * 100, "nested more than 60"),
    "deep by aliases": ("\n".join([f"a{n}: &a{n} [{'*a' + str(n - 1) if n else 1}]" for n in range(100)]), "60 deep"),
    "unclosed": ("a: [1, 2", "line 1"),
    "unknown alias": ("a: *b", "line 1"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "finding"), HOSTILE_YAML.values(), ids=HOSTILE_YAML)
def test_hostile_yaml_is_refused_in_words(tmp_path: Path, text: str, finding: str) -> None:
    with pytest.raises(PromptError, match=finding):
        read_yaml(text, "cases.yaml")
    folder = write_pack(tmp_path)
    (folder / "cases.yaml").write_text(text, encoding="utf-8", newline="")
    assert mistakes(load_pack(folder))
    path = folder / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8").replace("owners: [someone]", text), encoding="utf-8")
    with pytest.raises(PromptError):
        load_pack(folder)


def test_what_yaml_is_good_for_stays() -> None:
    text = "a: &x {t: string}\nb: *x\nc: {<<: *x, d: 1}\ne: 2024-01-01\nf: [1.5, true, null]"
    assert read_yaml(text, "x") == {
        "a": {"t": "string"}, "b": {"t": "string"}, "c": {"t": "string", "d": 1}, "e": "2024-01-01",
        "f": [1.5, True, None],
    }  # fmt: skip


def test_front_matter_names_its_line(tmp_path: Path) -> None:
    folder = write_pack(tmp_path)
    path = folder / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8").replace("owners: [someone]", "id: mine"), encoding="utf-8")
    with pytest.raises(PromptError, match=r"front matter line 6: .*'id' stands there twice"):
        load_pack(folder)


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../etc/passwd", "a/../../../x", "_shared/../../x", "a\\0b", "x" * 5000, "ring.j2", ".",
             "golden"],
)  # fmt: skip
def test_an_include_is_a_file_of_the_pack_or_refused(tmp_path: Path, name: str) -> None:
    folder = write_pack(tmp_path, user=f"{{% include '{name}' %}}{{{{ title }}}}{{{{ document }}}}")
    (folder / "ring.j2").symlink_to("ring.j2")
    (folder / "golden").mkdir()
    with pytest.raises(PromptError):
        load_pack(folder)


def test_a_pack_file_is_a_file_of_some_size(tmp_path: Path) -> None:
    (tmp_path / "mine" / "prompt.j2").mkdir(parents=True)
    with pytest.raises(PromptError, match="no such file"):
        load_pack(tmp_path / "mine")
    folder = write_pack(tmp_path / "x", user="x" * (1 << 20))
    with pytest.raises(PromptError, match="larger than"):
        load_pack(folder)


@pytest.mark.parametrize("inputs", [{"year": 10**12}, {"tags": ["a"], "year": -5}, {"aspects": "x"}])
def test_a_case_with_odd_inputs_ends_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inputs: dict[str, Any]
) -> None:
    folder = write_pack(tmp_path / "prompts")
    _add_case(folder, {**INPUT, **inputs})
    code, _, told = run_command(capsys, ["--workspace", str(tmp_path), "prompts", "test", "mine"])
    assert code == 3, told


def test_a_run_of_a_pack_with_bom_and_a_loop_goes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(_good) as server:
        world = _world(
            tmp_path, "{% set words = title.split() %}{{ words | first }}", ["A b", "C d", "E f"], server=server
        )
        path = world.pack_folder / "prompt.j2"
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
        arguments = ["--workspace", str(tmp_path), "--json", "generate", "run", "recall", "--model", "m"]
        code, result = run_json(capsys, [*arguments, "--base-url", f"{server.url}/v1"])
        assert (code, result["replied"]) == (0, 3)
        assert isinstance(world.job(Scope()), Job)
        assert RequestMaker(load_pack(world.pack_folder), world.endpoint)


@pytest.mark.parametrize(
    ("user", "finding"),
    [
        ("{{ title }}\n{{ document }}\n{% if document %}{{ titel }}{% endif %}", "line 34: the template uses 'titel'"),
        ("{{ title }}\n{{ document | uppercase }}", "line 33: it does not render (No filter named 'uppercase'"),
        ("{{ title }} {{ document }}\n---user---\nhello", "line 33: '---user---' opens no message"),
        ("{{ title }} {{ document }}\n--- User ---\nhello", "line 33: '--- User ---' opens no message"),
        ("{{ title }} {{ document }}\n--- system ---\nhello", "line 34: a system message stands behind another"),
    ],
)
def test_lint_names_the_line_of_a_slip(tmp_path: Path, user: str, finding: str) -> None:
    findings = mistakes(load_pack(write_pack(tmp_path, user=user)))
    assert len(findings) >= 1
    assert f"prompt.j2 {finding}" in findings[0]


def test_a_missing_include_names_the_line_that_asks_for_it(tmp_path: Path) -> None:
    folder = write_pack(tmp_path, user="{{ title }}\n{% include 'part.j2' %}")
    (folder / "part.j2").write_text("{{ document }}\n\n{% include 'gone.j2' %}")
    with pytest.raises(PromptError, match=r"part\.j2 line 3: include 'gone\.j2': there is no such file"):
        load_pack(folder)
