"""Options that several commands share, and what they mean to the library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aligner.cli.completion import files

if TYPE_CHECKING:
    from aligner.adapters.base import OpenOptions
    from aligner.api.options import CompareOptions
    from aligner.inputs import Preprocessing

Command = TypeVar("Command", bound=Callable[..., Any])

MODELS = """MODEL is a file (.onnx, .tflite, TorchScript .pt, a recording .npz or .safetensors) or a factory,
file.py:function or package.module:function, that returns an nn.Module."""


class Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """One number or several: "0.5" or "0.485,0.456,0.406"."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).replace(",", " ").split())
        except ValueError:
            self.fail(f"{value!r} is not a number or a comma-separated list of numbers", param, ctx)


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """A picture's size: "224" or "240x320" (height x width)."""

    name = "height[xwidth]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = [int(part) for part in str(value).lower().replace("×", "x").replace(",", "x").split("x")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or min(numbers, default=0) < 1:
            self.fail(f"{value!r} is not a size such as 224 or 240x320 (height x width)", param, ctx)
        return numbers[0], numbers[-1]


class Setting(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """A setting of a runtime: "precision=f32"."""

    name = "switch=setting"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        switch, equals, setting = str(value).partition("=")
        if not (switch and equals and setting):
            self.fail(f"{value!r} is not a setting such as precision=f32 or candidate.threads=1", param, ctx)
        return switch, setting


_SHIFTS = {"k": 10, "m": 20, "g": 30, "t": 40}


class Bytes(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """An amount of memory: "500M", "2G", "1073741824"."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower().removesuffix("b").removesuffix("i")
        shift = _SHIFTS.get(text[-1:], 0)
        try:
            amount = int(float(text[:-1] if shift else text) * (1 << shift))
        except (ValueError, OverflowError):
            amount = -1
        if amount < 0:
            self.fail(f"{value!r} is not an amount of memory such as 500M or 2G", param, ctx)
        return amount


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of the help page."""

    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


REFERENCE_CANDIDATE = together(
    click.argument("reference", shell_complete=files), click.argument("candidate", shell_complete=files)
)
WEIGHTS = click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint to load into a factory's module.")


def json_option(help: str = "Write JSON") -> Callable[[Command], Command]:
    """``--json``, which says what it writes; "-" is standard output."""
    return click.option("--json", "json_file", metavar="FILE", help=f"{help}; - for standard output alone.")


input_options = together(
    click.option(
        "--input",
        "-i",
        "inputs",
        multiple=True,
        metavar="[NAME=]FILE",
        shell_complete=files,
        help="Picture, .npy, .npz, .pt, .safetensors, .json or .txt of numbers, or numbers themselves "
        '("ids=[[5,6]]"); repeat for several. reference.NAME= and candidate.NAME= feed one side.',
    ),
    click.option("--size", type=Size(), help="Size pictures are resized to, HEIGHTxWIDTH."),
    click.option("--mean", type=Numbers(), help="Subtracted after scaling; one number or one per channel."),
    click.option("--std", type=Numbers(), help="Divided by after the mean; one number or one per channel."),
    click.option("--scale", type=float, help="Pixels, 0 to 1, are multiplied by this. [default: 1]"),
    click.option("--color", type=click.Choice(["rgb", "bgr"]), help="Channel order to feed. [default: rgb]"),
    click.option("--layout", type=click.Choice(["nchw", "nhwc"]), help="Layout of the data given."),
    click.option("--dtype", help="Feed this dtype instead of the declared one."),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seeds every random number of a run."
    ),
)
"""--input and the preprocessing."""

_TRUST = click.option(
    "--trust", is_flag=True, help="Allow files that execute code: pickled modules, scripts that reach for files."
)
_bounds = together(
    click.option(
        "--process-memory", type=Bytes(), help="Memory that the working process may take. [default: what is free]"
    ),
    click.option(
        "--timeout", type=click.FloatRange(min=0), help="Seconds after which it is ended; 0: never. [default: 3600]"
    ),
    click.option("--verbose", is_flag=True, help="Let the frameworks' own messages through."),
)
"""What a working process may take."""
opening_options = together(_TRUST, _bounds)
"""What a command needs that opens a model, and does not run it."""
runtime_options = together(
    _TRUST,
    click.option("--eval/--as-is", "evaluation_mode", default=None, help="Switch modules to eval mode, or leave them."),
    click.option("--provider", help="ONNX Runtime execution provider: cpu, cuda, …"),
    click.option(
        "--ort-optimization",
        type=click.Choice(["none", "basic", "extended", "all"]),
        help="ONNX Runtime graph optimisation level. [default: all]",
    ),
    click.option("--signature", metavar="NAME", help="Which function of a SavedModel that holds several."),
    click.option(
        "--setting",
        "settings",
        type=Setting(),
        multiple=True,
        metavar="[SIDE.]SWITCH=SETTING",
        help="A setting of the runtime, as align vary names it: candidate.precision=f32; repeatable.",
    ),
    click.option("--device", default="cpu", show_default=True, help="Device for PyTorch models."),
    click.option(
        "--memory-limit",
        type=Bytes(),
        help="Memory for captured tensors: 500M, 2G. [default: a quarter of what is free]",
    ),
    _bounds,
)
"""How models are opened and run."""


weights_options = together(
    click.option(
        "--reference-weights", type=click.Path(path_type=Path), help="Checkpoint for the reference's factory."
    ),
    click.option(
        "--candidate-weights", type=click.Path(path_type=Path), help="Checkpoint for the candidate's factory."
    ),
)
"""The checkpoints that factories' modules load."""
tolerance_options = together(
    click.option("--atol", type=float, default=1e-5, show_default=True, help="Absolute tolerance of the outputs."),
    click.option("--rtol", type=float, default=1e-5, show_default=True, help="Relative tolerance of the outputs."),
)
"""The contract for outputs."""
MAP = click.option(
    "--map", "mapping", type=click.Path(path_type=Path), help="CSV or YAML of pairs that override pairing."
)
contract_options = together(tolerance_options, MAP, weights_options)
"""What decides what counts as right, and how tensors are paired."""
SAVE_MAP = click.option("--save-map", metavar="FILE", help="Write the pairing as CSV, to be edited and given to --map.")
ALIGN_BY = click.option(
    "--align-by",
    type=click.Choice(["auto", "name", "order", "weights", "structure"]),
    default="auto",
    show_default=True,
    help="How tensors are paired.",
)
text_options = together(
    click.option("--prompt", help="Text whose tokens are fed, by --tokenizer."),
    click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json, or the folder that holds it."),
)
"""The text that a decoder is fed."""
LOCAL = click.option(
    "--local",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether each node is also run on the reference's tensors.",
)
LEVEL = click.option(
    "--level",
    type=click.Choice(["outputs", "layers", "local"]),
    default="local",
    show_default=True,
    help="What decides: --atol and --rtol for outputs or all layers, or what each node does by itself.",
)


def preprocessing(given: dict[str, Any]) -> Preprocessing:
    """The preprocessing that a command line asks for."""
    from aligner.inputs import Preprocessing

    if given["dtype"] is not None:  # told before a model is loaded
        from aligner.inputs.casting import dtype_of

        dtype_of(given["dtype"], "--dtype is")
    names = ("size", "mean", "std", "scale", "color", "layout", "dtype")
    return Preprocessing(**{name: given[name] for name in names})


def open_options(given: dict[str, Any], weights: Path | None = None, role: str = "") -> OpenOptions:
    """How a model is opened, as a command line asks."""
    from aligner.adapters.base import OpenOptions
    from aligner.api.options import settings_of

    names = ("trust", "evaluation_mode", "provider", "ort_optimization", "signature", "device", "memory_limit")
    settings = settings_of(dict(given["settings"]), role)
    return OpenOptions(weights=weights, settings=settings, **{name: given[name] for name in names})


_PLAIN = "atol rtol mapping seed memory_limit tolerance align_by local level noise_floor".split()
"""Options of a comparison that mean the same to the library."""


def compare_options(given: dict[str, Any]) -> CompareOptions:
    """What a command line, or the report that it names, asks of the comparison."""
    from aligner.api.options import CompareOptions

    sides = [
        open_options(given, given.get(f"{role}_weights", given.get("weights")), role)
        for role in ("reference", "candidate")
    ]
    plain = {name: given[name] for name in _PLAIN if given.get(name) is not None}
    return CompareOptions(
        **plain, reference_options=sides[0], candidate_options=sides[1], preprocessing=preprocessing(given)
    )
