"""A TFLite file with inner tensors among its outputs, byte for byte the same otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from aligner.adapters.base import Instrumented, chosen
from aligner.adapters.tflite_adapter.schema import Model

_MARK = "aligner.outputs="
"""What ends an instrumented file, behind all that offsets lead to; the number of outputs it had before follows."""
_WRITTEN = re.compile(rb"aligner\.outputs=(\d{1,6})\Z")


def as_it_was(model: Model) -> Model:
    """An instrumented file as the model that it shows: its first outputs alone are the model's."""
    from aligner.adapters.tflite_adapter.graph import name_tensors
    from aligner.adapters.tflite_adapter.patch import Cut, Patcher
    from aligner.adapters.tflite_adapter.schema import read_model

    written, main = _WRITTEN.search(model.data[-2 * len(_MARK) :]), model.main
    count = int(written[1]) if written else 0
    if not 0 < count < len(main.outputs):
        return model
    cut = Cut(main.inputs, main.outputs[:count])
    return read_model(Patcher(model, name_tensors(main).computed).cut(cut))


def instrument(path: Path, output: Path, observe: Sequence[str]) -> Instrumented:
    """Lead the list of outputs to a longer one; the memory planner then keeps those tensors."""
    from aligner.adapters.tflite_adapter.graph import name_tensors
    from aligner.adapters.tflite_adapter.patch import Cut, Patcher
    from aligner.adapters.tflite_adapter.runtime import observable
    from aligner.adapters.tflite_adapter.schema import read_model

    model = read_model(path.read_bytes())
    main = model.main
    computed = name_tensors(main).computed
    inner = {
        index: main.tensors[index].name
        for index in computed
        if index not in main.outputs and observable(main.tensors[index].dtype)
    }
    names = chosen(list(dict.fromkeys(inner.values())), observe, path)
    shown = tuple(index for index, name in inner.items() if name in set(names))
    cut = Patcher(model, computed).cut(Cut(main.inputs, (*main.outputs, *shown)))
    output.write_bytes(cut + f"{_MARK}{len(main.outputs)}".encode())
    notes = (
        f"its first {len(main.outputs)} outputs are those it had; the others follow in the order of execution, with "
        "the names that get_output_details and TfLiteTensorName tell",
        "read them without a signature: a signature names the old outputs alone",
    )
    return Instrumented(tuple(inner[index] for index in shown), notes)
