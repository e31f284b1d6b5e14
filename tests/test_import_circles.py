"""No file of the package imports one that imports it, not even inside a function or for types alone."""

import pytest

grimp = pytest.importorskip("grimp")  # comes with import-linter


def test_no_circular_imports():
    graph = grimp.build_graph("aligner", exclude_type_checking_imports=False, cache_dir=None)
    waiting = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while ready := [module for module, others in waiting.items() if not others & waiting.keys()]:
        for module in ready:
            del waiting[module]
    assert not waiting, "in a circle or above one: " + ", ".join(sorted(waiting))
