"""Options of `msfit fit` for priors that join the pixels of a picture."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from msfit.errors import InputError

Tv = Annotated[
    float, typer.Option(metavar="PRICE", help="Of the pigments' total variation: smooth maps; about a band's noise.")
]
Sparsity = Annotated[float, typer.Option(metavar="PRICE", help="Of specular shading: sparse gloss.")]
TvShading = Annotated[float, typer.Option(metavar="PRICE", help="Of the shadings' total variation.")]

# What `msfit.fit_spatial` takes of what `msfit.fit` does; the rest must be left as it is unless said.
_SHARED = ("model", "bounds", "bands", "device", "dtype")
_NEUTRAL = (None, False, "reflectance")


def with_priors(
    fitting: dict[str, Any], tv: float, sparsity: float, tv_shading: float, **others: Any
) -> dict[str, Any] | None:
    """Arguments of `msfit.fit_spatial`, or None where no prior was asked for.

    Raises
    ------
    InputError
        An option is given, in `fitting` or `others`, that goes with fits of single pixels only.
    """
    prices = {"tv": tv, "sparsity": sparsity, "tv_shading": tv_shading}
    if not any(prices.values()):
        return None
    single = {name: value for name, value in (fitting | others).items() if name not in _SHARED}
    if given := [name for name, value in single.items() if not any(value is neutral for neutral in _NEUTRAL)]:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        priors = ", ".join(f"--{name.replace('_', '-')}" for name, price in prices.items() if price)
        raise InputError(
            f"{named}: found beside {priors}, which join all pixels of a picture; leave out one or the other"
        )
    return {name: fitting[name] for name in _SHARED} | prices
