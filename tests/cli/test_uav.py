"""The verbs are thin: what they print is what the functions give, and mistakes are one sentence."""

from __future__ import annotations

import json

import pytest

from crossband import cli


def run(capsys, *arguments: object) -> str:
    import typer

    assert typer.main.get_command(cli.app).main([str(a) for a in arguments], standalone_mode=False) in (None, 0)
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_verbs_of_the_chain(world, networks, photo, tmp_path, capsys):
    flight = world / "world"
    common = ["--models", networks, "--out", tmp_path / "out", "--where", "sequence=flight1", "--json"]
    places = json.loads(run(capsys, "localize", flight, "--map", flight, *common))
    assert [place["frame"] for place in places] == ["1_0", "1_1", "1_2"]
    boxes = json.loads(run(capsys, "detect", flight, "--map", flight, *common))
    assert {box["class"] for box in boxes} <= {"car"}
    found = json.loads(run(capsys, "reid", photo, "--flight", flight, "--map", flight, *common, "-k", 2))
    assert [match["rank"] for match in found["matches"]] == [1, 2]
    said = run(
        capsys,
        "translate",
        photo,
        "--model",
        networks / "translation.safetensors",
        "--ambient",
        290,
        "--out",
        tmp_path / "probe.png",
    )
    assert "possible 220.0 to 360.0 K" in said
