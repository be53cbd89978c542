"""Promises of word handling: the quick ways find what the plain ones find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import content_stems, held_stems, least_runs, weight, word_set, words


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=("Cs",)), max_size=60))
def test_the_set_of_words_is_the_set_of_words(text: str):
    folded = fold_text(text)
    assert word_set(folded) == frozenset(words(folded))


@given(st.text("ab 'é慢钢琴的和声ピアノ피아노, ", max_size=40))
def test_a_text_bears_out_all_that_it_states(text: str):
    assert set(content_stems(text)) <= held_stems(fold_text(text))


@given(st.lists(st.sampled_from(["word", "other", "慢", "琴"]), max_size=24), st.integers(1, 8))
def test_least_runs_are_just_over_the_limit(tokens: list[str], over: int):
    runs = list(least_runs(tokens, over_words=over))
    for start, end in runs:
        assert weight(tokens[start:end]) > 3 * over >= weight(tokens[start : end - 1])
    starts = [at for at in range(len(tokens)) if weight(tokens[at:]) > 3 * over]
    assert [start for start, _ in runs] == starts
