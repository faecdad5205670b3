"""What a run writes is whole or not there, and a place that cannot be written is one sentence."""

from __future__ import annotations

import pytest

from crossband.errors import CrossbandError
from crossband.files import make_folder, write_file


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path):
    write_file(tmp_path / "a.txt", "old")
    write_file(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_writer_that_fails_leaves_the_old_file(tmp_path):
    write_file(tmp_path / "a.txt", "old")

    def fails(path):
        path.write_text("half")
        raise OSError(28, r"a\.txt on device")

    with pytest.raises(CrossbandError, match=r"a\.txt"):
        write_file(tmp_path / "a.txt", fails)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_folder_below_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CrossbandError, match="file"):
        make_folder(tmp_path / "file" / "out")


def test_a_file_goes_into_folders_that_are_not_there_yet(tmp_path):
    path = write_file(tmp_path / "runs" / "one" / "state.txt", "whole", durable=True)
    assert path.read_text() == "whole"
    assert [inside.name for inside in path.parent.iterdir()] == ["state.txt"]
