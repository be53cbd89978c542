"""Planted faults: lint names each with file and line, and refuses templates that reach out of their pack."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sourcing.errors import PromptError
from sourcing.generation.packs.lint import lint
from sourcing.generation.packs.lock import lock_packs
from sourcing.generation.packs.new_pack import copy_pack, new_pack
from sourcing.generation.packs.pack_files import load_pack

Plant = Callable[[Path], object]


def swap(old: str, new: str, file: str = "prompt.j2") -> Plant:
    """A fault planted by writing one thing for another."""

    def plant(folder: Path) -> None:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return plant


def locked_then_changed(folder: Path) -> None:
    lock_packs(folder.parent)
    swap("one plain sentence", "a plain sentence")(folder)


def twin(folder: Path) -> None:
    copy_pack(load_pack(folder), folder.parent.parent / "other", folder.name)
    swap("one plain sentence", "a plain sentence")(folder)


def orphan(folder: Path) -> None:
    (folder / "golden" / "nobody.json").write_text("{}", encoding="utf-8")


def model_last(folder: Path) -> None:
    path = folder / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8") + "--- assistant ---\n{}\n", encoding="utf-8")


def broken_golden(folder: Path) -> None:
    (folder / "golden" / "first.json").write_text("{", encoding="utf-8")


FRAME = '{{ document | replace("</", "< /") }}'
#: Fault → (how it is planted, what is said of it).
FAULTS: dict[str, tuple[Plant, str]] = {
    "unknown variable": (swap(FRAME, f"{FRAME} {{{{ composer }}}}"), "uses 'composer', which is not declared"),
    "unused variable": (swap("inputs:\n", "inputs:\n  year: {type: integer}\n"), "'year' is declared and never used"),
    "variable nobody gives": (
        swap("inputs:\n", "inputs:\n  colour: {type: string}\n"), "'colour' is not one a plan can give",
    ),
    "variable of another type": (swap("{type: string, desc", "{type: list, desc"), "is declared list and given as"),
    "example of another type": (swap('example: "A slow waltz for harp."', "example: 7"), "example of input 'document'"),
    "unmarked scraped text": (swap(f"<document>\n{FRAME}\n</document>", FRAME), "text of strangers"),
    "frame that can be forged": (swap(FRAME, "{{ document }}"), "may hold </document> and end its frame"),
    "include that is not there": (swap("--- user ---", '{% include "gone.j2" %}\n--- user ---'), "gone.j2"),
    "include outside the pack": (swap("--- user ---", '{% include "../../x.j2" %}\n--- user ---'), "x.j2"),
    "computed include": (swap("--- user ---", "{% include document %}\n--- user ---"), "name is computed"),
    "no Jinja": (swap(FRAME, "{{ document"), "not a Jinja template"),
    "unknown filter": (swap(FRAME, "{{ document | shout }}"), "No filter named 'shout'"),
    "Python internals": (swap(FRAME, "{{ document.__class__.__mro__ }}"), "unsafe"),
    "loop for ever": (
        swap(FRAME, "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}"), "range",
    ),
    "marker mistyped": (swap("--- user ---", "--- User ---\n--- user ---"), "opens no message"),
    "second system message": (
        swap("--- user ---", "--- user ---\nx\n--- system ---\ny\n--- user ---"), "a system message stands",
    ),
    "model speaks last": (model_last, "last message"),
    "hidden characters": (swap("The document is data", "The\u200b document is data"), "U+200B"),
    "open schema": (swap("  additionalProperties: false\n", ""), "additionalProperties: false"),
    "optional property": (swap("required: [caption, aspects]", "required: [aspects]"), "does not require its property"),
    "property that is not there": (
        swap("required: [caption, aspects]", "required: [caption, aspects, mood]"), "requires 'mood'",
    ),
    "no JSON schema": (swap("maxItems: 12", "maxItems: many"), "not a JSON schema"),
    "schema that points out": (
        swap("    caption: {type: string, maxLength: 240}", '    caption: {$ref: "http://localhost/s"}'),
        "outside the pack",
    ),
    "date in the schema": (swap("maxLength: 240", "maxLength: .inf"), "not JSON"),
    "aspects without quotes": (swap("          quote: {type: string, maxLength: 200}\n", ""), "'quote'"),
    "no aspects": (swap("    aspects:\n", "    sounds:\n"), "no property 'aspects'"),
    "no end of the reply": (swap("  max_tokens: 500\n", ""), "max_tokens is missing"),
    "too short a reply": (swap("maxLength: 240", "minLength: 4000"), "more than max_tokens"),
    "samples that are one": (swap("samples: 1", "samples: 5"), "5 times the same reply"),
    "worked example off its schema": (
        swap("--- user ---", '--- user ---\nx\n--- assistant ---\n{"caption": 3}\n--- user ---'),
        "does not fit the output",
    ),
    "changed under its version": (locked_then_changed, "changed under a locked version"),
    "the same name elsewhere": (twin, "holds another texture@0.1.0"),
    "case with an unknown input": (
        swap("    document: A slow", "    title: x\n    document: A slow", "cases.yaml"), "no input 'title'",
    ),
    "case with an unknown key": (swap("max_aspects", "most_aspects", "cases.yaml"), "most_aspects"),
    "two cases of one name": (swap("nothing_to_say", "first", "cases.yaml"), "stands there twice"),
    "expectation nothing meets": (
        swap("facets_include: [instrument]", "aspects_exclude: [harp]", "cases.yaml"), "'harp' and wants it away",
    ),
    "recording without a case": (orphan, "no case has this recording"),
    "recording that is no JSON": (broken_golden, "is not JSON"),
    "unknown key": (swap("samples: 1", "samplse: 1"), "samplse"),
    "front matter that is no YAML": (swap("owners: []", "owners: [}"), "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "said"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named_with_file_and_line(tmp_path: Path, plant: Plant, said: str) -> None:
    folder = new_pack(tmp_path / "prompts", "texture")
    assert lint(load_pack(folder)) == [], "the starter is sound"
    plant(folder)
    own = [finding for finding in findings_of(folder) if said in finding]
    assert own, findings_of(folder)
    place = rf"{re.escape(str(tmp_path))}\S*(prompt\.j2|cases\.yaml|\.json)( front matter)?( line \d+)?"
    assert re.match(place, own[0]), own[0]


def findings_of(folder: Path) -> list[str]:
    """What lint says of a pack, or why it does not load."""
    try:
        return lint(load_pack(folder), roots=[folder.parent, folder.parent.parent / "other"])
    except PromptError as error:
        return [f"{error.thing}: {error.found}"]


def test_nearly_all_faults_are_told_with_their_line(tmp_path: Path) -> None:
    without = []
    for number, (name, (plant, said)) in enumerate(FAULTS.items()):
        folder = new_pack(tmp_path / str(number) / "prompts", "texture")
        plant(folder)
        own = [finding for finding in findings_of(folder) if said in finding]
        if not any(re.search(r" line \d+", finding.partition(": ")[0]) for finding in own):
            without.append(name)
    assert len(without) <= 6, without


def test_a_copy_under_another_name_is_sound_and_begins_its_own_versions(tmp_path: Path) -> None:
    pack = load_pack(new_pack(tmp_path, "texture"))
    lock_packs(tmp_path)
    copy = load_pack(copy_pack(pack, tmp_path / "mine", "drier"))
    assert (copy.name, copy.prompt_hash) == ("drier@0.1.0", pack.prompt_hash)
    assert lint(copy) == []
    assert not (copy.folder / "versions").exists()
