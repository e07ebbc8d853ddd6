"""How far an estimate is from the truth.

In: two pictures, spectra or maps, and where to compare them. Out: numbers: `measures` of single maps (RMSE, spectral
angle, colour difference), `decomposition` of whole faces, as the literature's Table 1 has them; `clinical`: L*a*b*,
typology angle, erythema and melanin index of spectra.
"""

from __future__ import annotations

from msfit.metrics.clinical import SkinColour as SkinColour
from msfit.metrics.clinical import ita_class as ita_class
from msfit.metrics.clinical import skin_colour as skin_colour
from msfit.metrics.decomposition import COLUMNS as COLUMNS
from msfit.metrics.decomposition import PIGMENT_UNITS as PIGMENT_UNITS
from msfit.metrics.decomposition import SHADING_SCALES as SHADING_SCALES
from msfit.metrics.decomposition import Decomposition as Decomposition
from msfit.metrics.decomposition import decomposition_rmse as decomposition_rmse
from msfit.metrics.decomposition import in_unit as in_unit
from msfit.metrics.decomposition import shading_scales as shading_scales
from msfit.metrics.measures import best_scale as best_scale
from msfit.metrics.measures import colour_difference as colour_difference
from msfit.metrics.measures import compared as compared
from msfit.metrics.measures import rmse as rmse
from msfit.metrics.measures import sam as sam
from msfit.metrics.measures import scale_aligned_rmse as scale_aligned_rmse
from msfit.metrics.measures import spectral_angle as spectral_angle
