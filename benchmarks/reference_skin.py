"""The skin models once more, written literally as published, in plain numpy: an oracle for msfit.skin.

`python -m benchmarks.reference_skin` writes the golden numbers of tests/skin, so that no test of the physics needs more
than the project itself.

Only the tabulated extinctions are shared with the library. Sources: Alotaibi & Smith 2019 (released code); Jacques,
"Skin optics", OMLC News 1998; Prahl, OMLC.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from msfit.skin.chromophores import extinction


class ReferenceSkin:
    """Reflectance (..., band) of one named model on fixed wavelengths [nm]."""

    MODELS = ("alotaibi-smith-2019", "biofacenet-lut", "jacques-km")

    def __init__(self, name: str, wavelengths: np.ndarray) -> None:
        nm = np.asarray(wavelengths, float)
        self.name = name
        self.eumelanin, self.pheomelanin = extinction("eumelanin", nm), extinction("pheomelanin", nm)
        self.hbo2, self.hb = extinction("oxyhaemoglobin", nm), extinction("deoxyhaemoglobin", nm)
        self.base = 0.0244 + 8.53 * np.exp(-(nm - 154) / 66.2)
        self.mu_s = 2e5 / nm**1.5 + 2e12 / nm**4
        self.melanosome = 6.6e11 / nm**3.33

    def __call__(self, f_mel: np.ndarray | float, f_blood: np.ndarray | float) -> np.ndarray:
        f_mel, f_blood = np.asarray(f_mel, float)[..., None], np.asarray(f_blood, float)[..., None]
        return self._jacques(f_mel, f_blood) if self.name == "jacques-km" else self._alotaibi(f_mel, f_blood)

    def _alotaibi(self, f_mel: np.ndarray, f_blood: np.ndarray) -> np.ndarray:
        mel = 0.02 * (0.61 * 80 * self.eumelanin + 0.39 * 12 * self.pheomelanin)
        m_ox = 0.75 * 2.303 * self.hbo2 * 150 / 66500
        m_de = 0.25 * 2.303 * self.hb * 150 / 66500
        h = 0.25 * f_blood
        if self.name == "biofacenet-lut":
            depth = f_mel * 1.25 * mel + h * m_de + self.base * (1 - f_mel - h)
        else:
            depth = f_mel * mel + h * (0.75 * m_ox + 0.25 * m_de) + self.base * (1 - f_mel - h)
        mu_a = f_blood * (m_ox + m_de) + (1 - f_blood) * self.base
        k = np.sqrt(mu_a * (mu_a + 2 * self.mu_s))
        b = np.sqrt(mu_a / (mu_a + 2 * self.mu_s))
        up, down = np.exp(0.3 * k), np.exp(-0.3 * k)
        dermis = (1 - b**2) * (up - down) / ((1 + b) ** 2 * up - (1 - b) ** 2 * down)
        return np.exp(-depth) ** 2 * dermis

    def _jacques(self, f_mel: np.ndarray, f_blood: np.ndarray) -> np.ndarray:
        base = 10 * self.base
        transmittance = np.exp(-0.006 * (f_mel * self.melanosome + (1 - f_mel) * base))
        blood = 2.303 * (0.75 * self.hbo2 + 0.25 * self.hb) * 150 / 64500
        mu_a = f_blood * blood + (1 - f_blood) * base
        ratio = 2 * mu_a / (0.75 * self.mu_s - mu_a / 4)
        return transmittance**2 * (1 + ratio - np.sqrt(ratio**2 + 2 * ratio))


GOLDEN = Path(__file__).parents[1] / "tests" / "skin" / "golden.json"
_F_MEL, _F_BLOOD, _NM = (0.0, 0.02, 0.1, 0.43), (0.0, 0.02, 0.07), range(400, 721, 40)


def golden() -> dict[str, Any]:
    """Reflectances of the published models, (f_mel, f_blood, band), as the formulas give them."""
    f_mel, f_blood = np.meshgrid(_F_MEL, _F_BLOOD, indexing="ij")
    models = {name: ReferenceSkin(name, np.array(_NM))(f_mel, f_blood).tolist() for name in ReferenceSkin.MODELS}
    return {"f_mel": _F_MEL, "f_blood": _F_BLOOD, "wavelengths": list(_NM), "reflectance": models}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden()) + "\n", encoding="ascii")
