"""The tensors that a TorchScript module stores, under the paths by which its graph reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aligner.adapters.torch_quantization import dtype_word, quantization_of
from aligner.adapters.torchscript_adapter.arrays import owned_array
from aligner.adapters.torchscript_adapter.state import named_parameters
from aligner.records.graph import Weight


class WeightTable:
    """Weights by id: the dotted path of the attribute, or the name of the constant."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.records: dict[str, Weight] = {}
        self._attributes: set[str] = set()
        parameters = named_parameters(module) if module is not None else ()
        self._paths = {tensor.data_ptr(): path for path, tensor in parameters if tensor.numel()}

    def add(self, path: str, tensor: Any, *, attribute: bool = True) -> str:
        """Enter a tensor and answer its id.

        One that a list attribute holds (``_flat_weights`` of an LSTM) goes by the parameter's own name.
        """
        if path.rpartition(".")[2].isdecimal() and not tensor.is_mkldnn:  # which has no address
            path = self._paths.get(tensor.data_ptr(), path)
        if attribute:
            self._attributes.add(path)
        self.records[path] = Weight(
            path,
            tuple(tensor.shape),
            dtype_word(tensor),
            lambda: owned_array(tensor, share=True),
            quantization_of(tensor),
        )
        return path

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape, None for what is no weight."""
        record = self.records.get(name)
        return record.shape if record is not None else None

    def owner(self, names: Iterable[str]) -> str | None:
        """The module that holds the first of these weights, "" for the top; None where there is none."""
        return next((name.rpartition(".")[0] for name in names if name in self._attributes), None)
