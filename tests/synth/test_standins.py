"""The frozen stand-in scenes."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
import pytest

from msfit.synth import read_truth, write_standins
from msfit.synth import standins as home
from msfit.synth.files import digest
from msfit.synth.people import ITA_CLASSES, wearable
from msfit.synth.standins import standins

MANIFEST = Path(__file__).resolve().parents[2] / "data_iset" / "manifest.json"


def test_stand_ins_are_25_test_persons_balanced_over_skin_tone():
    people = {one.person: one for one in wearable("test")}
    assert len({one.person for one in standins()}) == len({one.seed for one in standins()}) == 25
    assert all(people[one.person].ita_class == one.ita_class for one in standins())
    assert collections.Counter(one.ita_class for one in standins()) == dict.fromkeys(ITA_CLASSES, 4) | {"dark": 5}


def test_the_manifest_lists_every_stand_in():
    scenes = json.loads(MANIFEST.read_text(encoding="utf-8"))["scenes"]
    assert [scene["file"] for scene in scenes] == [f"{one.name}.mat" for one in standins()]
    assert all(len(scene["digest"]) == 64 for scene in scenes)


def test_stand_ins_are_written_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "STANDIN_SIZE", 24)
    monkeypatch.setattr(home, "standins", lambda: standins()[:2])
    paths = write_standins(tmp_path)
    assert [path.name for path in paths] == ["standin-01.mat", "standin-02.mat"]
    times = [path.stat().st_mtime_ns for path in paths]
    assert write_standins(tmp_path) == paths
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert read_truth(paths[0]).attrs["person"] == standins()[0].person


@pytest.mark.slow
def test_the_first_stand_in_is_the_frozen_one(tmp_path, monkeypatch):
    """To the bit where it was frozen; elsewhere to the rounding of another processor."""
    monkeypatch.setattr(home, "standins", lambda: standins()[:1])
    (path,) = write_standins(tmp_path)
    frozen = json.loads(MANIFEST.read_text(encoding="utf-8"))["scenes"][0]
    if digest(path) != frozen["digest"]:
        truth = read_truth(path)
        for name, mean in frozen["means"].items():
            assert np.nanmean(getattr(truth, name)[truth.mask]) == pytest.approx(mean, rel=1e-3), name
