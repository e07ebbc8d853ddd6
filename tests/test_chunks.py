"""Chunked arrays and flat files give the same samples as arrays in memory, few chunks at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msfit.data import lazy_arrays as chunks
from msfit.data.lazy_arrays import check_chunks, read_rows, reads_a_chunk, row_blocks
from msfit.data.memory import parse_size, resident, told
from msfit.errors import InputError
from msfit.io.flat import FlatArray

VALUES = np.arange(7 * 5 * 6, dtype=np.float32).reshape(7, 5, 6)


@given(
    heights=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    usual=st.integers(1, 60),
    most=st.integers(1, 60),
)
def test_blocks_cover_every_row_once_and_cut_only_chunks_that_are_too_high(
    heights: list[int], usual: int, most: int
) -> None:
    values = dask.array.zeros((sum(heights), 2), chunks=(tuple(heights), 2))
    blocks = row_blocks(values, usual, most)
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(sum(heights)))
    ends = {0, *np.cumsum(heights).tolist()}
    for block in blocks:
        assert 0 < block.stop - block.start <= max(most, min(usual, most))
        if not {block.start, block.stop} <= ends:
            assert max(heights) > min(usual, most)
    if most >= max(heights):
        assert reads_a_chunk(values, blocks) == 1


@given(
    layout=st.sampled_from([(7, 5, 1), (2, 5, 6), (3, 2, 4), (1, 1, 1), (7, 5, 6)]),
    first=st.integers(0, 6),
    count=st.integers(1, 7),
)
def test_rows_of_any_layout_are_read_in_pieces(layout: tuple[int, ...], first: int, count: int) -> None:
    lazy = dask.array.from_array(VALUES, chunks=layout)
    before = chunks._AT_ONCE
    chunks._AT_ONCE = 80  # bytes: no two chunks together
    try:
        rows = slice(first, min(7, first + count))
        np.testing.assert_array_equal(read_rows(lazy, rows), VALUES[rows])
    finally:
        chunks._AT_ONCE = before


def test_never_more_chunks_at_once_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def block(samples: np.ndarray) -> np.ndarray:
        held.append(samples.nbytes)
        return samples

    monkeypatch.setattr(chunks, "_AT_ONCE", 300)
    lazy = dask.array.from_array(VALUES, chunks=(7, 5, 1)).map_blocks(block, dtype=VALUES.dtype)
    computed: list[int] = []
    original = np.asarray

    def counted(values: Any, *further: Any, **named: Any) -> np.ndarray:
        found = original(values, *further, **named)
        if hasattr(values, "dask"):
            computed.append(sum(held))
            held.clear()
        return found

    monkeypatch.setattr(np, "asarray", counted)
    read_rows(lazy, slice(2, 4))
    assert sum(computed) == VALUES.nbytes
    assert max(computed) <= 300


PLACES = st.one_of(
    st.integers(-5, 4),
    st.slices(5),
    st.lists(st.integers(-5, 4), min_size=1, max_size=4).map(np.array),
)


@given(index=st.tuples(st.slices(7), PLACES, st.slices(6)), order=st.sampled_from("<>"))
def test_a_flat_file_is_indexed_as_the_array_in_it(
    tmp_path_factory: pytest.TempPathFactory, index: tuple[Any, ...], order: str
) -> None:
    kind = np.dtype(f"{order}f4")
    path = tmp_path_factory.getbasetemp() / f"flat{order == '<'}"
    if not path.exists():
        path.write_bytes(b"header" + VALUES.astype(kind).tobytes())
    found = FlatArray(path, VALUES.shape, kind, 6)[index]
    np.testing.assert_array_equal(found, VALUES[index])


def test_a_flat_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(VALUES.tobytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        FlatArray(path, VALUES.shape, VALUES.dtype)[:]


def test_a_chunk_larger_than_memory_is_refused_unread() -> None:
    huge = dask.array.zeros((40_000, 40_000, 31), chunks=(40_000, 40_000, 31), dtype=np.float32)
    with pytest.raises(InputError, match=r"16 GiB cannot hold a chunk of 40000 x 40000 x 31 samples \(185 GiB\)"):
        check_chunks(huge, 2**34)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1GiB", 2**30), ("1 gb", 10**9), ("512M", 512 * 10**6), ("2.5k", 2500), ("7", 7), (7, 7), ("1TiB", 2**40)],
)
def test_sizes(text: int | str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "1XB", "0", "GiB", "1e9"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=r"memory: found .* expected a size such as 1GiB"):
        parse_size(text)


def test_sizes_are_told() -> None:
    assert [told(n) for n in (3, 2048, 5 * 2**20, 1.25 * 2**30)] == ["3 bytes", "2 KiB", "5 MiB", "1.25 GiB"]


def test_the_process_knows_its_size() -> None:
    assert 2**24 < resident() < 2**37
