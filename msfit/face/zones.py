"""Named parts of the canonical face, each as closed loops of its vertices.

Loops are written for the right side of the person (x < 0) and mirrored. Openings are no skin: eyes, the inner mouth,
nostrils. Zones may be hidden by hair: brows, and where a beard grows. Sites are what readings of skin are taken at.
"""

from __future__ import annotations

import functools

from msfit.face.canonical import canonical_face

#: Rims in MediaPipe's numbering; lids and lips run from corner to corner.
UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
UPPER_LIP_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_LIP_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_LIP_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
BROW_UPPER = (70, 63, 105, 66, 107)
BROW_LOWER = (46, 53, 52, 65, 55)
_NOSTRIL = (79, 20, 60, 75, 59, 166)

# Halves of loops that cross the middle, from the middle above over the right side to the middle below.
_FOREHEAD = (151, 108, 69, 104, 105, 66, 107, 9)
_NOSE = (6, 196, 236, 134, 220, 44, 1)
_CHIN = (18, 83, 182, 194, 32, 208, 199)
_BEARD = (2, 97, 98, 203, 206, 207, 187, 147, 137, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
_CHEEK = (117, 118, 101, 36, 205, 187, 147, 123)
_UNDER_EYE = (110, 24, 23, 22, 26, 232, 231, 230, 229, 228)

#: Parts of the mesh that are no skin.
OPENINGS = ("eyes", "mouth", "nostrils")
#: Parts that hair may cover.
ZONES = ("brows", "beard")
#: Where skin is read; left and right are the person's.
SITES = (
    "forehead",
    "right_cheek",
    "left_cheek",
    "nose",
    "chin",
    "lips",
    "right_under_eye",
    "left_under_eye",
)

Loops = tuple[tuple[int, ...], ...]


@functools.cache
def loops() -> dict[str, tuple[Loops, Loops]]:
    """For each name of OPENINGS, ZONES and SITES the loops of vertices that it fills, and those cut out of it."""
    mirror = canonical_face().mirror

    def other(loop: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(mirror[vertex]) for vertex in loop)

    def both(loop: tuple[int, ...]) -> Loops:
        return loop, other(loop)

    def across(half: tuple[int, ...]) -> Loops:
        return (half + other(half)[-2:0:-1],)

    lips: Loops = (UPPER_LIP_OUTER + LOWER_LIP_OUTER[-2:0:-1],)
    mouth: Loops = (UPPER_LIP_INNER + LOWER_LIP_INNER[-2:0:-1],)
    return {
        "eyes": (both(UPPER_LID + LOWER_LID[-2:0:-1]), ()),
        "mouth": (mouth, ()),
        "nostrils": (both(_NOSTRIL), ()),
        "brows": (both(BROW_UPPER + BROW_LOWER[::-1]), ()),
        "beard": (across(_BEARD), lips),
        "forehead": (across(_FOREHEAD), ()),
        "right_cheek": ((_CHEEK,), ()),
        "left_cheek": ((other(_CHEEK),), ()),
        "nose": (across(_NOSE), ()),
        "chin": (across(_CHIN), ()),
        "lips": (lips, mouth),
        "right_under_eye": ((_UNDER_EYE,), ()),
        "left_under_eye": ((other(_UNDER_EYE),), ()),
    }
