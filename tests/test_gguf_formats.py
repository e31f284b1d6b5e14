"""Every format of GGUF that its library reads: clean tensors are as expected, wrong ones are found."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors")
gguf = pytest.importorskip("gguf")

from gguf import quants  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from aligner.api.weighing import weigh  # noqa: E402
from aligner.parameters.grids import GRIDS, within  # noqa: E402

TYPES = gguf.GGMLQuantizationType
READ = [kind.name for kind in quants._type_traits]
K = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
ROWS, WIDTH = 12, 512
BLOCK = 256


def numbers(seed=0):
    """Rows of other sizes, one of them next to nothing: float16 cannot hold its steps."""
    made = np.random.default_rng(seed).standard_normal((ROWS, WIDTH)) * np.exp(np.arange(ROWS) - 6.0)[:, None]
    made[3] *= 1e-6
    return made.astype(np.float32)


def packed(codes, bits, run):
    """Codes of so many bits, [blocks, 256], those ``run`` apart in one byte."""
    many = 8 // bits
    parts = codes.reshape(len(codes), -1, many, run).astype(np.uint8)
    return np.bitwise_or.reduce([parts[:, :, place] << np.uint8(place * bits) for place in range(many)]).reshape(
        len(codes), -1
    )


def half(values):
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8)


def from_zero(groups, codes, kept):
    """Steps and offsets of groups, both in few values of a float16: their codes, what they stand for."""
    low = np.maximum(-groups.min(2), 0)
    step = (np.maximum(groups.max(2), 0) + low) / codes
    found = []
    for part in (step, low):
        unit = (part.max(1) / kept).astype(np.float16)
        unit32 = unit.astype(np.float32)[:, None]
        code = np.rint(np.divide(part, unit32, out=np.zeros_like(part), where=unit32 > 0)).clip(0, kept)
        found.append((unit, code.astype(np.uint8), code * unit32))
    steps, offsets = found[0][2][..., None], found[1][2][..., None]
    places = np.divide(groups + offsets, steps, out=np.zeros_like(groups), where=steps > 0)
    return found, np.rint(places).clip(0, codes).reshape(len(groups), BLOCK)


def around_zero(groups, codes, kept):
    """The same without offsets, codes from −codes on."""
    step = np.abs(groups).max(2) / (codes - 1)
    unit = (step.max(1) / kept).astype(np.float16)
    unit32 = unit.astype(np.float32)[:, None]
    code = np.rint(np.divide(step, unit32, out=np.zeros_like(step), where=unit32 > 0)).clip(0, kept)
    steps = (code * unit32)[..., None]
    places = np.rint(np.divide(groups, steps, out=np.zeros_like(groups), where=steps > 0)).clip(-codes, codes - 1)
    return unit, code.astype(np.uint8), (places + codes).reshape(len(groups), BLOCK).astype(np.uint8)


def six_bits(low, high):
    """Eight steps and eight offsets of six bits in twelve bytes."""
    parts = [(one[:, :4] & 63) | (one[:, 4:] >> 4 << 6) for one in (low, high)]
    return np.concatenate([*parts, (low[:, 4:] & 15) | (high[:, 4:] & 15) << 4], 1)


def quantized(values, kind):
    """K formats by rounding to the nearest, in the layouts that ggml-common.h gives them; the others by the library."""
    if kind not in K:
        return quants.quantize(values, TYPES[kind])
    size = 32 if kind in ("Q4_K", "Q5_K") else 16
    groups = values.reshape(-1, BLOCK // size, size)
    if kind in ("Q3_K", "Q6_K"):
        unit, steps, codes = around_zero(groups, *((4, 31) if kind == "Q3_K" else (32, 127)))
        if kind == "Q6_K":
            parts = [packed(codes & 15, 4, 64), packed(codes >> 4, 2, 32), steps, half(unit)]
        else:
            steps = steps + 32
            scales = [(steps[:, :8] & 15) | (steps[:, 8:] & 15) << 4, packed(steps >> 4, 2, 4)]
            parts = [packed(codes >> 2, 1, 32), packed(codes & 3, 2, 32), *scales, half(unit)]
    else:
        largest, kept = {"Q2_K": (3, 15), "Q4_K": (15, 63), "Q5_K": (31, 63)}[kind]
        ((unit, steps, _), (least, offsets, _)), codes = from_zero(groups, largest, kept)
        codes, units = codes.astype(np.uint8), [half(unit), half(least)]
        if kind == "Q2_K":
            parts = [steps | offsets << 4, packed(codes, 2, 32), *units]
        else:
            fifth = [packed(codes >> 4, 1, 32)] if kind == "Q5_K" else []
            parts = [*units, six_bits(steps, offsets), *fifth, packed(codes & 15, 4, 32)]
    return np.concatenate(parts, 1).reshape(len(values), -1)


def weighed(folder, floats, raw, kind):
    """What is said of a tensor kept as floats, and in a GGUF file."""
    save_file({"w.weight": np.ascontiguousarray(floats, np.float32)}, folder / "floats.safetensors")
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_tensor("w.weight", raw, raw_dtype=TYPES[kind])
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    (match,) = weigh(folder / "floats.safetensors", folder / "model.gguf").matches
    return match


def test_the_blocks_of_k_formats_are_as_the_library_reads_them():
    for kind, error in zip(K, (0.35, 0.22, 0.09, 0.045, 0.025), strict=True):
        values = numbers()
        found = quants.dequantize(quantized(values, kind), TYPES[kind])
        assert np.linalg.norm(found - values) < error * np.linalg.norm(values)


@pytest.mark.parametrize("kind", [*K, "TQ1_0", "TQ2_0", "MXFP4"])
def test_a_clean_tensor_is_quantised_as_expected(tmp_path, kind):
    values = numbers()
    match = weighed(tmp_path, values, quantized(values, kind), kind)
    assert (match.status, match.transforms) == ("matched", (f"quantised {kind}",))


@pytest.mark.parametrize("kind", [*K, "TQ2_0", "MXFP4"])
@pytest.mark.parametrize("fault", ["another", "negated", "one block reversed"])
def test_a_wrong_tensor_is_found(tmp_path, kind, fault):
    values = wrong = numbers()
    if fault == "another":
        wrong = numbers(1)
    if fault == "negated":
        wrong = -values
    if fault == "one block reversed":
        wrong = values.copy()
        wrong[7, BLOCK:] = wrong[7, BLOCK:][::-1]
    assert weighed(tmp_path, values, quantized(wrong, kind), kind).status == "changed"


@pytest.mark.parametrize("kind", ["Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_a_single_group_that_is_wrong_is_found(tmp_path, kind):
    values, size = numbers(), GRIDS[kind].group
    wrong = values.copy()
    wrong[7, size : 2 * size] = wrong[7, size : 2 * size][::-1]
    assert weighed(tmp_path, values, quantized(wrong, kind), kind).status == "changed"


def test_uneven_codes_are_within_their_widest_gap():
    """IQ4_NL, whose steps grow outwards, to the nearest of its codes: clean, and with one group turned."""
    codes = np.float32(quants.IQ4_NL.kvalues)
    groups = numbers().reshape(-1, 32)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(1)[:, None], 1)
    unit = (largest / -127).astype(np.float16).astype(np.float32)
    found = unit * codes[np.abs(groups[..., None] - unit[..., None] * codes).argmin(2)]
    assert within(GRIDS["IQ4_NL"], groups, found)
    found[40] = found[40, ::-1]
    assert not within(GRIDS["IQ4_NL"], groups, found)


@pytest.mark.parametrize("kind", READ)
def test_what_the_library_reads_is_told_from_another(tmp_path, kind):
    """Bytes of any format: the very numbers match, another tensor's do not."""
    block, size = gguf.GGML_QUANT_SIZES[TYPES[kind]]
    rng = np.random.default_rng(0)  # below 0x40 no scale in them is infinite
    raw, other = (rng.integers(0, 0x40, (8, 512 // block * size), np.uint8) for _ in range(2))
    if kind == "MXFP4":  # … and its exponents none to speak of
        raw[:, ::size] = other[:, ::size] = 127
    values = quants.dequantize(raw, TYPES[kind])
    match = weighed(tmp_path, values, raw, kind)
    assert match.status == "matched"
    assert match.transforms[-1] in (f"quantised {kind}", "cast", "same")
    assert weighed(tmp_path, values, other, kind).status == "changed"
