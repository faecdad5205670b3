"""What ``reproduce`` says where it cannot."""

from __future__ import annotations

import pytest

from crossband.papers import reproduce
from crossband.papers.rgbt_retrieval import read_recipe

from ..messages import assert_says

MESSAGES = {
    "paper": (lambda at: reproduce("rgb-retrieval", at), "unknown paper 'rgb-retrieval'; did you mean rgbt"),
    "row": (
        lambda at: reproduce("rgbt-retrieval", at, rows=["alexnett"]),
        "unknown row 'alexnett'; did you mean alexnet",
    ),
    "row of a recipe": (
        lambda at: reproduce("vpr-finetuning", at, rows=["cold_gem_vgg61"]),
        "unknown row 'cold_gem_vgg61'",
    ),
    "folder": (lambda at: reproduce("rgbt-retrieval", at / "gone"), "no folder"),
    "recipe": (lambda at: read_recipe(at), "is not a recipe of rgbt-retrieval: the key 'size' is missing"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_says(tmp_path, case):
    (tmp_path / "rgbt_retrieval.yaml").write_text("paper: x\nsizes: 3\n")
    call, words = MESSAGES[case]
    assert_says(lambda: call(tmp_path), words)
