"""What reads each format, and must answer for any file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuzz.dumps import dumped_input, dumped_model


def dump(path: Path) -> Any:
    """Every tensor of it."""
    from aligner.adapters.dumps.formats import open_dump

    dump = open_dump(path)
    try:
        return [dump.read(place).shape for place in range(len(dump.tensors))]
    finally:
        dump.close()


def dump_compared(path: Path) -> Any:
    """Against the model that it is of."""
    from aligner.api.comparing import compare

    model = path.with_name("model.onnx")
    model.write_bytes(dumped_model())
    return compare(model, path, dumped_input(), dump_of=model)


def inspect(path: Path) -> Any:
    """Opened and listed."""
    from aligner.api.inspecting import inspect

    return inspect(path)


def in_folder(read: Callable[[Path], Any], name: str) -> Callable[[Path], Any]:
    """The same of a file in the folder, which is what a user names; nothing of a link."""
    return lambda path: None if (path / name).is_symlink() else read(path / name)


def capture(path: Path) -> Any:
    """Run, and recorded."""
    from aligner.api.capturing import capture

    return capture(path, path.with_name("out.npz"))


def capture_vector(path: Path) -> Any:
    """Run it on an input of the shape that it was made for: TorchScript declares none."""
    import numpy as np

    from aligner.api.capturing import capture

    return capture(path, path.with_name("out.npz"), np.ones((1, 3, 8, 8), np.float32))


def capture_small(path: Path) -> Any:
    """The same of a model that takes three channels; some runtimes' files declare none."""
    import numpy as np

    from aligner.api.capturing import capture

    return capture(path, path.with_name("out.npz"), np.ones((1, 3, 4, 4), np.float32))


def instrument(path: Path) -> Any:
    """Written again, with what lies in it among its outputs."""
    from aligner.api.instrumenting import instrument

    return instrument(path, path.with_name(f"tapped{path.suffix}"))


def match(path: Path) -> Any:
    """Paired and weighed against the whole model."""
    from aligner.api.matching import match
    from aligner.api.weighing import weigh
    from benchmarks.fuzz.whole_files import onnx

    other = path.with_name("other.onnx")
    other.write_bytes(onnx())
    return match(other, path), weigh(path, other)


def weights_weighed(path: Path) -> Any:
    """Files of weights against whole ones."""
    from aligner.api.weighing import weigh
    from benchmarks.fuzz.whole_files import shards

    whole = path.with_name("whole")
    for name, data in shards().items():
        (whole / name).parent.mkdir(exist_ok=True)
        (whole / name).write_bytes(data)
    return weigh(whole, path), weigh(path, path)


def text_fed(path: Path) -> Any:
    """A text's tokens."""
    from aligner.cli.prompt import tokens

    return tokens("a b c d", path)


def decode(path: Path) -> Any:
    """A decoder against itself, one step."""
    import numpy as np

    from aligner.api.self_check import decode

    return decode(path, np.array([[1, 2, 3]]))


def steps(path: Path) -> Any:
    """A decoder against the whole one, step by step."""
    import numpy as np

    from aligner.api.comparing import compare
    from benchmarks.fuzz.whole_files import decoder

    whole = path.with_name("whole.onnx")
    whole.write_bytes(decoder())
    return compare(whole, path, np.array([[1, 2, 3]]), steps=2)


def vary(path: Path) -> Any:
    """Under the switches of its runtime."""
    from aligner.api.varying import vary

    return vary(path, over="optimization,batch")


def sizes(path: Path) -> Any:
    """Against the whole one, at sizes that it may not take."""
    from aligner.api.comparing import compare
    from benchmarks.fuzz.whole_files import decoder

    whole = path.with_name("whole.onnx")
    whole.write_bytes(decoder())
    return compare(whole, path, shapes={"n": (1, 3)})


def sample_list(path: Path) -> Any:
    """Files of a sweep."""
    from aligner.inputs.samples import sample_files

    return sample_files([str(path)])


def again(path: Path) -> Any:
    """What it says of its comparison, to make that again."""
    from aligner.cli.run_file import recorded

    return recorded(path)


def sweep_faces(path: Path) -> Any:
    """A sweep's part, merged and shown in every way."""
    from rich.console import Console

    from aligner.report.sweep_document import merged, write_sweep
    from aligner.report.sweep_page import write_sweep_html
    from aligner.report.sweep_table import print_sweep

    sweep, out = merged([path]), io.StringIO()
    print_sweep(sweep, Console(file=out, width=100), full=True)
    write_sweep_html(sweep, out)
    write_sweep(sweep, out)
    if "\x1b" in out.getvalue():
        raise AssertionError("a control character in a sweep")
    return sweep


def checkpoint_read(path: Path) -> Any:
    """A checkpoint's tensors."""
    from aligner.adapters.pytorch_adapter.checkpoint import read_checkpoint

    return read_checkpoint(path)


def input(path: Path) -> Any:
    """An input."""
    from aligner.inputs.files import read_file

    return read_file(path)


def mapping(path: Path) -> Any:
    """A mapping."""
    from aligner.alignment.mapping import read_mapping

    return read_mapping(path)


def faces(path: Path) -> Any:
    """A report, read and shown in every way."""
    from rich.console import Console

    from aligner.report import csv_table, html, junit, markdown, model_explorer, sarif, terminal
    from aligner.report.json_document import read_json, write_json

    comparison = read_json(path)
    out = io.StringIO()
    terminal.print_comparison(comparison, Console(file=out, width=100), full=True, quiet=False, pictures=True)
    for write in (
        csv_table.write_csv,
        html.write_html,
        junit.write_junit,
        markdown.write_markdown,
        sarif.write_sarif,
        model_explorer.write_node_data,
        write_json,
    ):
        write(comparison, out)
    if "\x1b" in out.getvalue():
        raise AssertionError("a control character in a report")
    return comparison
