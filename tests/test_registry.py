from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from aligner import errors
from aligner.adapters import registry
from aligner.adapters.base import Adapter, OpenOptions, Session

PLUGINS = """
from aligner.adapters.base import Adapter

class Text(Adapter):
    name, extra, modules, reads = "text", "", (), "*.text"
    def claims(self, target):
        return str(target).endswith(".text")
    def open(self, target, options):
        return ("opened", target)

class Either(Text):
    name, extra, modules = "either", "either", ("no_such_module_a|json",)

class Absent(Text):
    name, extra, modules = "absent", "absent", ("no_such_module_a|no_such_module_b", "json")
    def claims(self, target):
        return str(target).endswith(".absent")

class Curious(Text):
    name = "curious"
    def claims(self, target):
        raise RuntimeError("cannot look")

class Failing(Text):
    name = "failing"
    def claims(self, target):
        return str(target).endswith(".failing")
    def open(self, target, options):
        raise KeyError("graph")

class Importing(Failing):
    name = "importing"
    def claims(self, target):
        return str(target).endswith(".importing")
    def open(self, target, options):
        import no_such_module_c

class Nameless(Text):
    name = "nameless"
    def open(self, target, options):
        from aligner.errors import ModelFormatError
        raise ModelFormatError("the file is damaged", found="no end", hint="copy it again")

def not_a_class():
    pass
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Install entry points: ``plugins(text="Text")``; the built-in adapters are left out."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "aligner_test_plugins.py").write_text(PLUGINS)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setattr(registry, "_BUILT_IN", {})

    def install(**names: str) -> None:
        points = [
            importlib.metadata.EntryPoint(name, f"aligner_test_plugins:{attribute}", "aligner.adapters")
            for name, attribute in names.items()
        ]
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda group: importlib.metadata.EntryPoints(p for p in points if p.group == group),
        )
        registry._load.cache_clear()

    yield install
    registry._load.cache_clear()


def names() -> list[str]:
    return [adapter.name for adapter in registry.adapters()]


def test_plugins_are_loaded_once_and_in_order(plugins):
    plugins(text="Text", either="Either")
    assert names() == ["either", "text"]
    assert registry.adapters()[0] is registry.adapters()[0]
    assert all(isinstance(adapter, Adapter) for adapter in registry.adapters())
    assert registry.broken() == ()


def test_a_broken_plugin_is_a_warning(plugins):
    plugins(text="Text", gone="NoSuchClass", function="not_a_class")
    assert names() == ["text"]
    lines = [str(fault) for fault in registry.broken()]
    assert len(lines) == 2
    assert "'function' (aligner_test_plugins:not_a_class) is ignored: TypeError" in lines[0]
    assert "NoSuchClass" in lines[1]


def test_a_missing_module_of_a_plugin_is_a_warning(plugins, monkeypatch):
    plugins(text="Text")
    monkeypatch.setattr(registry, "_BUILT_IN", {"later": "aligner.adapters.no_such_file:Later"})
    registry._load.cache_clear()
    assert names() == ["text"]
    assert "ModuleNotFoundError" in str(registry.broken()[0])


def test_without_metadata_the_built_in_list_is_used(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: importlib.metadata.EntryPoints())
    registry._load.cache_clear()
    expected = list(registry._BUILT_IN)
    seen = names() + [fault.name for fault in registry.broken()]
    assert sorted(seen) == sorted(expected)
    registry._load.cache_clear()


def test_built_in_list_is_that_of_pyproject():
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    section = text.split('[project.entry-points."aligner.adapters"]')[1].split("\n[")[0]
    lines = [line.split(" = ") for line in section.strip().splitlines()]
    assert {name: value.strip('"') for name, value in lines} == registry._BUILT_IN


def test_installed_metadata_adds_nothing_twice():
    registry._load.cache_clear()
    assert len(names()) == len(set(names()))


def test_finds_by_path_string_and_object(plugins, tmp_path):
    plugins(text="Text")
    file = tmp_path / "a.text"
    file.write_text("model")
    assert registry.find_adapter(file).name == "text"
    assert registry.find_adapter(str(file)).name == "text"
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.find_adapter(object())
    assert "no adapter opens a object object" in str(caught.value)
    assert "builtins.object" in caught.value.found
    assert "text: *.text" in caught.value.hint


def test_an_adapter_that_cannot_look_does_not_read(plugins, tmp_path):
    plugins(curious="Curious", text="Text")
    file = tmp_path / "a.text"
    file.write_text("model")
    assert registry.find_adapter(file).name == "text"


def three_parts(error: errors.AlignerError) -> tuple[str, str, str]:
    assert error.what and error.found and error.hint
    return error.what, error.found, error.hint


def test_missing_file_suggests_similar_names(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "model_v2.onnx").write_bytes(b"x")
    with pytest.raises(errors.ModelNotFoundError) as caught:
        registry.find_adapter(tmp_path / "model_v3.onnx")
    what, _, hint = three_parts(caught.value)
    assert what.endswith("model_v3.onnx does not exist")
    assert hint == "did you mean model_v2.onnx?"


def test_missing_file_lists_other_models(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "zebra.onnx").write_bytes(b"x")
    with pytest.raises(errors.ModelNotFoundError) as caught:
        registry.find_adapter(tmp_path / "gfpgan.pt")
    assert three_parts(caught.value)[2] == "model files there: zebra.onnx"


def test_missing_folder(plugins, tmp_path):
    plugins(text="Text")
    with pytest.raises(errors.ModelNotFoundError) as caught:
        registry.find_adapter(tmp_path / "nowhere" / "a.onnx")
    assert "the folder" in three_parts(caught.value)[1]


@pytest.mark.parametrize("nothing", ["", ".", Path()])
def test_no_name_or_the_current_folder(plugins, nothing):
    plugins(text="Text")
    with pytest.raises(errors.ModelNotFoundError) as caught:
        registry.find_adapter(nothing)
    three_parts(caught.value)


def test_directory(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "b.tflite").write_bytes(b"x")
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.find_adapter(tmp_path)
    what, found, hint = three_parts(caught.value)
    assert what.endswith("is a directory")
    assert found == "model files in it: b.tflite"
    assert "text: *.text" in hint


def test_empty_file(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "a.text").touch()
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.find_adapter(tmp_path / "a.text")
    assert three_parts(caught.value)[0].endswith("a.text is empty")


def test_unknown_magic(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "a.dat").write_bytes(b"\x01\x02hello")
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.find_adapter(tmp_path / "a.dat")
    _, found, hint = three_parts(caught.value)
    assert found == "first bytes 01 02 68 65 6c 6c 6f (b'\\x01\\x02hello')"
    assert hint.startswith("what can be read: text: *.text. If it holds tensors of a run: write ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
    ],
)
def test_not_the_model_itself(plugins, tmp_path, content, message):
    plugins(text="Text")
    (tmp_path / "a.text").write_bytes(content)
    with pytest.raises(errors.ModelFormatError, match=message) as caught:
        registry.find_adapter(tmp_path / "a.text")
    three_parts(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pb", b"x", "TensorFlow GraphDef"),
        ("a.engine", b"x", "TensorRT engine files are not read yet"),
        ("a.mlmodel", b"x", "Core ML files are not read yet"),
    ],
)
def test_formats_of_others(plugins, tmp_path, name, content, message):
    plugins(text="Text")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UnsupportedModelError, match=message) as caught:
        registry.find_adapter(tmp_path / name)
    three_parts(caught.value)


def test_factory_of_a_missing_file(plugins, tmp_path):
    plugins(text="Text")
    (tmp_path / "network.py").write_text("")
    with pytest.raises(errors.ModelNotFoundError) as caught:
        registry.find_adapter(f"{tmp_path}/netwrok.py:build")
    what, _, hint = three_parts(caught.value)
    assert what == f"the file of {tmp_path}/netwrok.py:build does not exist"
    assert hint == "did you mean network.py?"


def test_factory_that_nobody_opens(plugins):
    plugins(text="Text")
    with pytest.raises(errors.ModelFormatError, match=r"no adapter opens package\.module:build"):
        registry.find_adapter("package.module:build")


def test_a_pipe_is_not_read(plugins, tmp_path):
    os = pytest.importorskip("os")
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    plugins(text="Text")
    os.mkfifo(tmp_path / "pipe.text")
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.find_adapter(tmp_path / "pipe.text")
    assert three_parts(caught.value)[1] == "a pipe"


def make(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).write_text("model")
    return tmp_path / name


def test_opens(plugins, tmp_path):
    plugins(text="Text")
    file = make(tmp_path, "a.text")
    assert registry.open_model(str(file), OpenOptions()) == ("opened", file)


def test_any_of_several_modules_suffices(plugins, tmp_path):
    plugins(either="Either")
    assert registry.open_model(make(tmp_path, "a.text"), OpenOptions())


def test_missing_framework_names_file_adapter_and_command(plugins, tmp_path):
    plugins(absent="Absent")
    file = make(tmp_path, "a.absent")
    with pytest.raises(errors.MissingFrameworkError) as caught:
        registry.open_model(file, OpenOptions())
    what, found, hint = three_parts(caught.value)
    assert what == f"{file} cannot be opened: its framework is not installed"
    assert found == "the 'absent' adapter reads *.text and needs no_such_module_a or no_such_module_b"
    assert hint == 'pip install "aligner[absent]"'


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("failing", errors.ModelError, "KeyError: 'graph'"),
        ("importing", errors.MissingFrameworkError, "no_such_module_c"),
    ],
)
def test_foreign_exceptions_end_here(plugins, tmp_path, name, kind, text):
    plugins(**{name: name.capitalize()})
    with pytest.raises(kind) as caught:
        registry.open_model(make(tmp_path, f"a.{name}"), OpenOptions())
    assert text in three_parts(caught.value)[1]
    assert caught.value.__cause__ is not None


def test_every_error_names_the_file(plugins, tmp_path):
    plugins(nameless="Nameless")
    file = make(tmp_path, "a.text")
    with pytest.raises(errors.ModelFormatError) as caught:
        registry.open_model(file, OpenOptions())
    assert three_parts(caught.value) == (f"{file}: the file is damaged", "no end", "copy it again")


def test_status(plugins):
    plugins(absent="Absent", either="Either", text="Text")
    absent, either, text = registry.adapter_status()
    assert (absent.installed, absent.version) == (False, "json (version unknown)")
    assert (either.installed, either.how) == (True, 'pip install "aligner[either]"')
    assert (text.installed, text.version, text.how) == (True, None, "nothing to install")


def test_status_of_the_built_in_adapters_imports_no_framework():
    import subprocess
    import sys

    code = (
        "import sys; from aligner.adapters import registry; registry.adapter_status();"
        "print([m for m in ('torch', 'onnx', 'onnxruntime', 'tensorflow', 'ai_edge_litert') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_session_type_is_the_contract():
    assert issubclass(Session, object) and Session.__abstractmethods__
