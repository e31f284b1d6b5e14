"""SavedModel folders: the operations of their graphs are looked at before TensorFlow loads anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.adapters.target import real_path
from aligner.adapters.tensorflow_adapter.program import Program, program_of
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError, UntrustedFileError, listing

_DEFAULT = "serving_default"
_NO_SIGNATURE = "__saved_model_init_op"
_SAVING = frozenset({"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"})
"""How TensorFlow itself writes and reads the variables of a SavedModel; only their own functions hold these."""
_HARMLESS = frozenset(
    "Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp DisableCopyOnRead ReadVariableOp VarHandleOp "
    "VarIsInitializedOp ResourceGather StatefulPartitionedCall While If Case Placeholder RandomUniform "
    "RandomStandardNormal RandomUniformInt TruncatedNormal Multinomial StatefulStandardNormalV2 StatefulUniform "
    "RngReadAndSkip HashTableV2 MutableHashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableExportV2 "
    "LookupTableSizeV2 LookupTableInsertV2 AnonymousHashTable AnonymousMutableHashTable VariableV2 Variable Assign "
    "TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3 TensorArraySizeV3 "
    "TensorArraySplitV3 TensorArrayConcatV3 Stack StackPushV2 StackPopV2 StackV2 DestroyResourceOp".split()
)
"""Stateful operations whose state is their own memory."""
_TEXT = frozenset(
    "StringJoin StringSplitV2 StringLower StringUpper StringStrip StringLength StringToNumber StringToHashBucketFast "
    "StringFormat StringNGrams UnicodeDecodeWithOffsets UnicodeTranscode RegexReplace StaticRegexReplace "
    "RegexFullMatch StaticRegexFullMatch DecodePng DecodeJpeg DecodeImage DecodeBmp DecodeRaw DecodeBase64 "
    "ParseExampleV2 ParseExample Substr ReduceJoin AsString Const Identity Placeholder NoOp Pack ConcatV2 Reshape "
    "LookupTableFindV2 LookupTableImportV2 HashTableV2".split()
)
"""Operations that read texts and take none of them for a file's name."""


def program_of_folder(path: Path, options: OpenOptions) -> Program:
    """One signature of a SavedModel.

    Raises UntrustedFileError, ModelFormatError, or UnsupportedModelError where no signature can be chosen.
    """
    import tensorflow as tf

    if not options.trust:
        _check_links(path)
    strange = sorted(set(_strange_operations(_definition(path))))
    if strange and not options.trust:
        raise UntrustedFileError(
            f"{path.name} holds operations that reach outside the model",
            found=listing(strange),
            hint="if you trust its author, add --trust",
        )
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise _damaged(path, error) from error
    signatures = {str(name): one for name, one in loaded.signatures.items() if name != _NO_SIGNATURE}
    chosen = _chosen(path, signatures, options)
    others = sorted(signatures.keys() - {chosen})
    note = (f"the signature {chosen} was taken; others: {listing(others)}",) if others else ()
    program = program_of(signatures[chosen], notes=note)

    def call(feeds: Any, function: Any = program.call) -> Any:
        assert loaded is not None  # whose variables the function holds but weakly
        return function(feeds)

    return replace(program, call=call)


def _check_links(path: Path) -> None:
    """Raise UntrustedFileError for a file that lies elsewhere: TensorFlow would read whatever a link leads to."""
    home = path.resolve()
    away = sorted(str(one.relative_to(path)) for one in path.rglob("*") if not real_path(one).is_relative_to(home))
    if away:
        raise UntrustedFileError(
            f"{path.name} holds links that lead out of it",
            found=listing(away),
            hint="copy the folder with the files themselves (cp -rL), or add --trust",
        )


def _chosen(path: Path, signatures: dict[str, Any], options: OpenOptions) -> str:
    wanted = options.signature
    if wanted is not None and wanted in signatures:
        return wanted
    if wanted is None and _DEFAULT in signatures:
        return _DEFAULT
    if wanted is None and len(signatures) == 1:
        return next(iter(signatures))
    if not signatures:
        raise UnsupportedModelError(
            f"{path.name} has no signature that can be called",
            found="a SavedModel without signatures",
            hint="save it with tf.saved_model.save(model, path, signatures=function), or model.export(path)",
        )
    raise ModelError(
        f"{path.name} has no signature {wanted}" if wanted else f"{path.name} has several signatures",
        found=listing(sorted(signatures)),
        hint="choose one of them with --signature NAME",
    )


def _damaged(path: Path, error: Exception) -> ModelFormatError:
    text = (str(error).strip().splitlines() or [""])[0][:300]
    return ModelFormatError(
        f"{path.name} is no SavedModel that TensorFlow can load",
        found=f"{type(error).__name__}: {text}",
        hint="copy the whole folder, with variables/ and assets/, or save it again",
    )


def _definition(path: Path) -> Any:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    definition = saved_model_pb2.SavedModel()
    binary, text = path / "saved_model.pb", path / "saved_model.pbtxt"
    try:
        if binary.is_file():
            definition.ParseFromString(binary.read_bytes())
        else:
            text_format.Parse(text.read_text("utf-8"), definition)
    except (OSError, DecodeError, text_format.ParseError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not definition.meta_graphs:
        raise _damaged(path, ValueError("no graph in it"))
    return definition


def _strange_operations(definition: Any) -> Iterator[str]:
    """Operations that may touch files, the network or Python: stateful ones, and those that read texts, but for the
    harmless; an operation that this TensorFlow does not know is strange, too.
    """
    from tensorflow.python.framework import op_def_registry

    for meta in definition.meta_graphs:
        library = meta.graph_def.library.function
        functions = {function.signature.name for function in library}
        for nodes, saves in [(meta.graph_def.node, True), *((one.node_def, _saves(one)) for one in library)]:
            for node in nodes:
                if node.op in functions or (saves and node.op in _SAVING):
                    continue
                known = op_def_registry.get(node.op)
                if known is None or _reaches_out(node.op, known):
                    yield node.op


def _saves(function: Any) -> bool:
    """Whether a function is TensorFlow's own that saves or restores: it takes the prefix of a checkpoint."""
    return any(argument.name == "file_prefix" for argument in function.signature.input_arg)


def _reaches_out(op: str, definition: Any) -> bool:
    from tensorflow.core.framework import types_pb2

    if op in ("ImmutableConst", "PyFuncStateless"):
        return True
    texts = any(argument.type == types_pb2.DT_STRING for argument in definition.input_arg)
    return (definition.is_stateful and op not in _HARMLESS) or (texts and op not in _TEXT)
