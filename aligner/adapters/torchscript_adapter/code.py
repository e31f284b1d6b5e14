"""The code of an archive, read before TorchScript compiles and runs it: which operators it may name.

An operator is let through by its schema: its namespace computes, and no argument of it is the name of anything outside
the program. An operator that a newer PyTorch adds is refused until its texts' meanings stand here.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aligner.adapters.torch_archive import TorchArchive, check_storages, damaged, open_archive
from aligner.errors import UntrustedFileError, listing

_PRIM = frozenset(
    "NumToTensor RaiseException TupleIndex TupleUnpack StringIndex ModuleContainerIndex EnumName EnumValue IfThenElse "
    "abs data device dtype grad id index is_cpu is_cuda is_meta is_mkldnn is_mps is_nested is_quantized is_sparse "
    "is_sparse_csr is_vulkan is_xla is_xpu itemsize layout max min name nbytes rangelist requires_grad tolist type "
    "unchecked_cast unchecked_unwrap_optional Uninitialized ConstantChunk Print AutogradAdd shape".split()
)
_PRIVATE = frozenset(
    "_adaptive_avg_pool2d _adaptive_avg_pool3d _add_relu _addmm_activation _aminmax _assert_async _assert_scalar "
    "_batch_norm_impl_index _cdist_forward _conj _conj_physical _convolution _convolution_mode _dim_arange "
    "_embedding_bag _euclidean_dist _functional_assert_async _fused_rms_norm _get_tracing_state "
    "_grid_sampler_2d_cpu_fallback _index_put_impl_ _infer_size _int_mm _is_all_true _is_any_true _list_to_tensor "
    "_local_scalar_dense _log_softmax _logcumsumexp _masked_softmax _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training _native_multi_head_attention _pack_padded_sequence _pad_circular "
    "_pad_enum _pad_packed_sequence _prelu_kernel _reshape_alias _safe_softmax _set_item _shape_as_tensor _softmax "
    "_stack _tensor_to_list _to_copy _transform_bias_rescale_qkv _transformer_encoder_layer_fwd _trilinear _unique "
    "_unique2 _unwrap_optional _unsafe_view _unsafe_index _unsafe_index_put _values _version _weight_norm "
    "_weight_norm_interface".split()
)
"""Operators of aten that begin with an underscore and that exporters write; others may leave checks to their caller."""
_FAMILIES = tuple("_upsample_ _fft_ _linalg_ _cast_ _autocast_ _no_grad_ _scaled_dot_product_".split())
"""How such names begin where each PyTorch adds more of a kind."""
_UNCHECKED = frozenset("set set_ from_file save resize_as_sparse_ record_stream".split())
"""Operators that look at memory or files by arguments of their own, also where one overload is harmless."""
_TEXTS = frozenset(
    "a approximate api_name assert_msg b chars cls device_type dict driver el elem equation fillchar idx indexing "
    "inputs interpolation item key l message mode msg new norm old ord p pad_mode padding padding_side reduce "
    "rounding_mode s self separator side string substr t to_add type UPLO value values v x input output_dtype ind "
    "default_value".split()
)
"""Names of arguments whose text says how to compute, or is itself what is computed."""
_NAMESPACES = frozenset(("aten", "prim", "quantized", "_quantized", "torchvision", "torchaudio", "sparse"))
_FOREIGN = ("Storage", "Stream", "torch.classes.")
_PACKED = "torch.classes.quantized."
_PLAIN = re.compile(r"[\n -~]*")
_AT_LOAD = frozenset("eq ne lt gt __is__ __isnot__ RaiseException len".split())
"""Operators that ``__setstate__`` may name, beside the packing of quantised weights."""


def check_archive(path: Path, *, trust: bool) -> None:
    """Look at everything in an archive that PyTorch would believe or run; its code only where it is not trusted.

    Raises ModelFormatError and UntrustedFileError.
    """
    with open_archive(path) as archive:
        check_storages(archive)
        if not trust:
            check_code(archive)


def check_code(archive: TorchArchive) -> None:
    """Let through what computes on tensors.

    Raises UntrustedFileError for code that reads, writes or calls anything else, or works as it is loaded, and
    ModelFormatError where the code is none.
    """
    checked: set[str] = set()
    sources = list(archive.sources())
    trees = [_parsed(archive.path, member, text) for member, text in sources]
    for tree in trees:
        for name in set(_operators(archive.path, tree)) - checked:
            _check_operator(archive.path, name)
            checked.add(name)
    if any("__setstate__" in text for _, text in sources):
        _check_load_hooks(archive.path, trees)


def _parsed(path: Path, member: str, text: str) -> ast.Module:
    """The syntax tree; texts that Python and TorchScript might take apart differently are refused."""
    if not _PLAIN.fullmatch(text):
        raise damaged(path, f"{member} holds characters that TorchScript does not write")
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise damaged(path, f"{member} is not TorchScript ({error})") from error


def _operators(path: Path, tree: ast.Module) -> Iterator[str]:
    """Every name by which the code may reach an operator: "aten::relu" (also of methods), "quantized::linear"."""
    inside: set[int] = set()  # parts of what a node above has answered for: parents come before their children
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
            raise _untrusted(path, ast.unparse(node)[:80])
        if id(node) in inside:
            continue
        if isinstance(node, ast.Attribute) and (chain := _chain(node)):
            inside.update(map(id, ast.walk(node)))
            yield from _of_chain(path, chain)
        elif isinstance(node, ast.Attribute):
            yield from _of_method(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            inside.add(id(node.func))
            yield from _of_getattr(path, node) if node.func.id == "getattr" else _of_method(node.func.id)
        elif isinstance(node, ast.Name) and node.id in ("ops", "getattr"):
            raise _untrusted(path, f"{node.id!r} by itself")


def _chain(node: ast.expr) -> list[str]:
    """["ops", "quantized", "linear"]; [] where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def _of_chain(path: Path, chain: list[str]) -> Iterator[str]:
    if chain[0] == "ops":
        if len(chain) < 3:
            raise _untrusted(path, ".".join(chain))
        yield f"{chain[1]}::{chain[2]}"
        chain = chain[2:]
    elif chain[0] == "__torch__":
        if "classes" in chain and not ".".join(chain).startswith("__torch__." + _PACKED):
            raise _untrusted(path, ".".join(chain))
        return
    for name in chain[1:]:
        yield from _of_method(name)


def _of_getattr(path: Path, call: ast.Call) -> Iterator[str]:
    named = call.args[1] if len(call.args) > 1 else None
    if not isinstance(named, ast.Constant) or not isinstance(named.value, str):
        raise _untrusted(path, ast.unparse(call)[:80])
    if isinstance(call.args[0], ast.Name) and call.args[0].id == "ops":
        raise _untrusted(path, ast.unparse(call)[:80])
    yield from _of_method(named.value)


def _of_method(name: str) -> tuple[str, str]:
    return f"aten::{name}", f"prim::{name}"


def _check_operator(path: Path, name: str) -> None:
    """Raise UntrustedFileError unless each overload computes; a name of no operator can only be the program's own."""
    space, _, word = name.partition("::")
    if space not in _NAMESPACES:
        raise _untrusted(path, name)
    schemas = _schemas(name)
    known = word in _PRIM if space == "prim" else space != "aten" or _is_public(word)
    if schemas and (not known or word in _UNCHECKED or any(map(_reaches_out, schemas))):
        raise _untrusted(path, name)


def _is_public(word: str) -> bool:
    """Whether an operator of aten checks its operands itself."""
    return not word.startswith("_") or word.startswith(("__", *_FAMILIES)) or word in _PRIVATE


def _schemas(name: str) -> list[Any]:
    import torch

    return list(torch._C._jit_get_schemas_for_operator(name))


def _reaches_out(schema: Any) -> bool:
    for argument in schema.arguments:
        kind = str(argument.type)
        if "str" in kind and argument.name not in _TEXTS:
            return True
        if any(word in kind for word in _FOREIGN) and _PACKED not in kind:
            return True
    return False


def _check_load_hooks(path: Path, trees: list[ast.Module]) -> None:
    """What ``__setstate__`` can reach runs before anything is asked for: it may unpack and pack weights, no more."""
    functions: dict[str, list[ast.FunctionDef]] = {}
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.FunctionDef):
            functions.setdefault(node.name, []).append(node)
    todo, reached = ["__setstate__"], set[str]()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        for function in functions.get(name, ()):
            for node in ast.walk(function):
                if isinstance(node, (ast.While, ast.For, ast.ListComp, ast.DictComp)):
                    raise _untrusted(path, f"a loop in {name}, which runs as the file is loaded")
                if isinstance(node, ast.Call):
                    todo.append(_called_at_load(path, name, node))


def _called_at_load(path: Path, where: str, call: ast.Call) -> str:
    chain = _chain(call.func)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    packs = chain[:2] == ["ops", "quantized"] and "prepack" in name
    if chain[:1] in (["torch"], ["ops"]) and not packs and name not in _AT_LOAD:
        raise _untrusted(path, f"{'.'.join(chain)} in {where}, which runs as the file is loaded")
    return name


def _untrusted(path: Path, found: str) -> UntrustedFileError:
    return UntrustedFileError(
        f"{path.name} holds code that does more than compute",
        found=listing([found]),
        hint="if you trust its author, add --trust; a model for inference needs neither files nor work at loading",
    )
