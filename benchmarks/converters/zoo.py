"""Clean pairs of real architectures with random weights: every exporter's form against the model it was made from.

    python -m benchmarks.converters.zoo [NAME …]

All of them should be aligned. Eager models of several inputs are left out: their exports call the inputs otherwise.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import aligner
from aligner.errors import AlignerError
from benchmarks.operations.zoo import ARCHITECTURES, forms_of

PAIRS = (
    ("eager", "onnx-torchscript"),
    ("eager", "onnx-dynamo"),
    ("torchscript", "onnx-torchscript"),
    ("torchscript", "onnx-dynamo"),
    ("onnx-dynamo", "onnx-torchscript"),
)


def verdicts(name: str) -> Iterator[tuple[str, str, str]]:
    """Each pair of forms that can be made: reference, candidate, verdict and, where it is not aligned, why."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {form: (model, inputs) for form, model, inputs in forms_of(name, Path(folder))}
        made = {form: one for form, one in made.items() if not isinstance(one[0], Exception)}
        for left, right in PAIRS:
            if left not in made or right not in made or (left == "eager" and len(made[left][1]) > 1):
                continue
            inputs = [tensor.numpy() for tensor in made[left][1].values()]
            try:
                result = aligner.compare(made[left][0], made[right][0], inputs=inputs)
                said = str(result.verdict) if result.verdict == "aligned" else f"{result.verdict}: {result!r}"
            except AlignerError as error:
                said = f"refused: {error.what}"
            yield left, right, said


def main() -> None:
    """Print a line for each pair, and how many are aligned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ARCHITECTURES))
    aligned = total = 0
    for name in parser.parse_args().names or ARCHITECTURES:
        for left, right, said in verdicts(name):
            total, aligned = total + 1, aligned + (said == "aligned")
            print(f"{name:14} {left:12} {right:17} {said}", flush=True)
    print(f"{aligned} of {total} aligned")


if __name__ == "__main__":
    main()
