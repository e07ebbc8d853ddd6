"""Figures of photographs that have no truth: what is kept, what moves that should not, what was measured apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from scipy import stats

from benchmarks.photographs.folder import TONES, Apart, Picture, display, linear
from benchmarks.photographs.methods import Maps, Method, pixel_angle
from biofacenet.photo.face import Box
from msfit.errors import InputError

_DRAWS = 2000
# Below this i_s counts as no gloss [1].
_NO_GLOSS = 0.02
# Where the network sees detail, as of `biofacenet.predict`, and periods of the steps of its levels [pixels].
_SEEN = 256
_PERIODS = (4, 8, 16)


def perturbed(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """The same face otherwise photographed, by name."""
    light = linear(rgb)
    image = Image.fromarray(rgb)
    stored = BytesIO()
    image.save(stored, "JPEG", quality=50)
    half = image.resize((rgb.shape[1] // 2, rgb.shape[0] // 2), Image.Resampling.BOX)
    return {
        "warm 10 %": display(light * np.array([1.1, 1, 1 / 1.1], np.float32)),
        "cool 10 %": display(light * np.array([1 / 1.1, 1, 1.1], np.float32)),
        "exposure x 0.8": display(light * np.float32(0.8)),
        "exposure x 1.25": display(light * np.float32(1.25)),
        "half size": np.asarray(half),
        "JPEG 50": np.asarray(Image.open(stored).convert("RGB")),
        "mirror": np.ascontiguousarray(rgb[:, ::-1]),
    }


def of_picture(picture: Picture, method: Method, *, moved: bool) -> tuple[dict[str, Any], Maps | None]:
    """Figures of one photograph; where no face is found only why."""
    try:
        maps = method(picture.rgb, "auto")
    except InputError as error:
        return {"file": picture.name, "refused": str(error)}, None
    inside = maps.face & maps.fitted
    figures: dict[str, Any] = {
        "file": picture.name,
        "person": picture.person,
        "tone": picture.tone,
        "kept": float(maps.fitted[maps.face].mean()),
        "f_mel": maps.level(),
        "f_blood": maps.level("f_blood"),
        "i_d": maps.level("i_d"),
        "i_s": maps.level("i_s"),
        "gloss": maps.level("gloss"),
        "gloss with i_d": _correlation(maps.gloss[inside], maps.i_d[inside]),
        "i_s with i_d": _correlation(maps.i_s[inside], maps.i_d[inside]),
        "left over": float(np.nanmedian(np.abs(maps.reconstruction - maps.picture)[inside])),
        "weave": weave(maps),
        "seconds": maps.seconds,
    }
    if moved:
        figures["f_mel moved"] = {}
        for name, other in perturbed(picture.rgb).items():
            try:
                figures["f_mel moved"][name] = method(other, "auto").level() - figures["f_mel"]
            except InputError:
                figures["f_mel moved"][name] = None
    return figures, maps


def weave(maps: Maps) -> float:
    """Energy of f_mel at periods of the network's own steps over that at periods beside them; the largest of them.

    Along rows and columns, as the network sees the picture, within the face; about 1 without a weave.
    """
    scale = _SEEN / min(maps.face.shape)
    size = (round(maps.face.shape[1] * scale), round(maps.face.shape[0] * scale))
    inside = maps.face & maps.fitted
    filled = np.where(inside, maps.f_mel, maps.level()).astype(np.float32)
    values = np.asarray(Image.fromarray(filled).resize(size, Image.Resampling.BOX), float)
    weight = np.asarray(Image.fromarray(inside.astype(np.float32)).resize(size, Image.Resampling.BOX), float)
    windowed = (values - np.average(values, weights=weight + 1e-9)) * weight
    ratios = []
    for axis in (0, 1):
        power = (np.abs(np.fft.rfft(windowed, axis=axis)) ** 2).sum(1 - axis)
        frequency = np.fft.rfftfreq(windowed.shape[axis])
        # a fall of spectra by a power law is a line in logarithms
        for period in _PERIODS:
            at = np.abs(frequency * period - 1) < 0.05
            beside = (np.abs(frequency * period - 1) < 0.35) & ~at & (np.abs(frequency * period - 1) > 0.1)
            line = np.polyfit(np.log(frequency[beside]), np.log(power[beside] + 1e-30), 1)
            expected = np.exp(np.polyval(line, np.log(frequency[at])))
            ratios.append(float(power[at].mean() / expected.mean()))
    return max(ratios)


def by_tone(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means by class of visible tone, the rank of f_mel with it, and how it repeats over photographs of a person."""
    labelled = [row for row in rows if "f_mel" in row and row.get("tone")]
    classes = {
        tone: {
            "photographs": len(own),
            **{name: float(np.mean([row[name] for row in own])) for name in ("kept", "f_mel", "f_blood", "i_d")},
        }
        for tone in TONES
        if (own := [row for row in labelled if row["tone"] == tone])
    }
    figures: dict[str, Any] = {"classes": classes}
    if len(classes) > 1:
        tones = [TONES.index(row["tone"]) for row in labelled]
        figures["rank with tone"] = float(stats.spearmanr(tones, [row["f_mel"] for row in labelled]).statistic)
        if all("angle" in row for row in labelled):
            angles = [-row["angle"] for row in labelled]
            figures["rank of pixels with tone"] = float(stats.spearmanr(tones, angles).statistic)
    persons = [row["person"] for row in rows if "f_mel" in row and row.get("person")]
    if len(set(persons)) < len(persons):
        own = [row for row in rows if "f_mel" in row and row.get("person")]
        figures["ICC"] = repeatability(persons, [row["f_mel"] for row in own])
        if all("angle" in row for row in own):
            figures["ICC of pixels"] = repeatability(persons, [row["angle"] for row in own])
    return figures


def repeatability(persons: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """ICC(1,1), one-way random effects, of persons photographed more than once, and its 95 % interval over persons.

    P. E. Shrout, J. L. Fleiss, "Intraclass correlations: uses in assessing rater reliability", Psychol. Bull. 86, 1979;
    for unequal numbers k0 in place of k.
    """
    groups = [np.array([v for p, v in zip(persons, values, strict=True) if p == one]) for one in sorted(set(persons))]
    groups = [group for group in groups if len(group) > 1]
    rng = np.random.default_rng(0)
    draws = [_icc([groups[k] for k in rng.integers(0, len(groups), len(groups))]) for _ in range(_DRAWS)]
    low, high = np.nanquantile(draws, [0.025, 0.975]) if len(groups) > 2 else (np.nan, np.nan)
    return {"value": _icc(groups), "low": float(low), "high": float(high), "persons": len(groups)}


def of_apart(face: Apart, method: Method) -> tuple[dict[str, Any], dict[str, Maps]]:
    """Figures of a face whose gloss was measured apart."""
    figures: dict[str, Any] = {"name": face.name}
    found: dict[str, Maps] = {}
    gloss = face.specular @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    for title, k in (("D", 0.0), ("D + S", 1.0), ("D + 3 S", 3.0)):
        maps = found[title] = method(face.photograph(k), "auto")
        inside = maps.fitted & maps.face & face.mask[maps.crop.slices]
        own: dict[str, Any] = {
            "f_mel": float(np.nanmedian(maps.f_mel[inside])),
            "gloss below 0.02": float((maps.gloss[inside] < _NO_GLOSS).mean()),
            "i_s below 0.02": float((maps.i_s[inside] < _NO_GLOSS).mean()),
            "kept": float(maps.fitted[maps.face].mean()),
        }
        if k:
            there = inside & np.isfinite(maps.gloss)
            for name, values in (("gloss", maps.gloss), ("i_s", maps.i_s)):
                own[f"{name} with the measured gloss"] = _rank(values[there], gloss[maps.crop.slices][there])
            own["f_mel moved"] = own["f_mel"] - figures["D"]["f_mel"]
        figures[title] = own
    return figures, found


def of_edit(
    picture: np.ndarray, edit: Callable[[np.ndarray, dict[str, str]], tuple[np.ndarray, Box]], maps: Maps
) -> Any:
    """How much of the face an edit leaves as it was: changed by less than a tenth of the median change."""
    changed, _ = edit(picture, {"melanin": "+0.05"})
    before, after = (linear(one[maps.crop.slices]).mean(axis=2) + 1e-3 for one in (picture, changed))
    ratio = np.log(after / before)
    inside = maps.face & (before > 0.01)
    middle = np.median(ratio[inside])
    return {"median ratio": float(np.exp(middle)), "unedited": float((ratio / middle < 0.1)[inside].mean())}


def angle_of(picture: Picture, maps: Maps) -> float:
    """Typology angle of the pixels of the face."""
    return pixel_angle(picture.rgb[maps.crop.slices], maps.face)


def _icc(groups: Sequence[np.ndarray]) -> float:
    sizes = np.array([len(group) for group in groups], float)
    total, count = sizes.sum(), len(groups)
    if count < 2:
        return float("nan")
    grand = np.concatenate(list(groups)).mean()
    between = sum(len(g) * (g.mean() - grand) ** 2 for g in groups) / (count - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (total - count)
    k0 = (total - (sizes**2).sum() / total) / (count - 1)
    return float((between - within) / (between + (k0 - 1) * within))


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if np.nanstd(first) == 0 or np.nanstd(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _rank(first: np.ndarray, second: np.ndarray) -> float | None:
    return None if np.ptp(first) == 0 else float(stats.spearmanr(first, second).statistic)
