"""What is fed stays as it was; what does not fit is answered in three parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aligner.adapters.base import OpenOptions
from aligner.errors import AlignerError, InputError, ModelError
from aligner.records.array import Array
from aligner.testing.subject import Subject, identical


class InputConformance(Subject):
    """Feeds, and the errors of wrong feeds and wrong files."""

    def test_feeds_are_not_changed(self) -> None:
        """Neither by an observed nor by an untouched run."""
        feeds, before = self.make_feeds(), self.make_feeds()
        with self.session(fresh=True) as session:
            session.graph(feeds)
            session.predict(feeds)
            list(session.run(feeds))
        changed = [name for name in before if not identical(feeds[name], before[name])]
        assert not changed, f"the run wrote into its feeds: {changed}"

    def test_feeds_may_be_read_only_and_strided(self) -> None:
        """Captured tensors are read-only, transposed images are not contiguous; both are fed."""
        with self.session() as session:
            expected = self.capture(session)
            captured = list(session.run({name: _awkward(array) for name, array in self.make_feeds().items()}))
        for one, other in zip(expected, captured, strict=True):
            assert one.value == other.value, "other values were captured"
            fault = self.differs(one.array, other.array)
            assert not fault, f"{one.value} with read-only, strided feeds: {fault}"

    def test_an_unknown_input_is_an_error(self) -> None:
        """InputError, before anything runs on half of what was meant."""
        feeds = self.make_feeds()
        feeds["no_such_input"] = next(iter(feeds.values()))
        self._refused(feeds)

    def test_a_missing_input_is_an_error(self) -> None:
        """InputError for each required input that is left out."""
        with self.session() as session:
            required = [spec.name for spec in session.signature.inputs if spec.required]
        for name in required:
            feeds = self.make_feeds()
            del feeds[name]
            self._refused(feeds)

    def _refused(self, feeds: dict[str, Array]) -> None:
        with self.session() as session:
            for verb in (lambda: list(session.run(feeds)), lambda: session.predict(feeds)):
                try:
                    verb()
                except InputError as error:
                    _assert_three_parts(error)
                else:
                    raise AssertionError(f"{session.framework} ran with the feeds {sorted(feeds)}")

    def test_a_wrong_file_is_our_error(self, tmp_path: Path) -> None:
        """ModelError in three parts, whatever the framework raises."""
        import pytest

        path = self.wrong_file(tmp_path)
        if path is None or self.adapter is None:
            pytest.skip("the suite names no wrong file")
        with pytest.raises(ModelError) as caught:
            self.adapter.open(path, OpenOptions()).close()
        _assert_three_parts(caught.value)


def _awkward(array: Array) -> Array:
    """The same contents, read-only, and not contiguous where there is more than one element."""
    doubled = np.repeat(array[..., np.newaxis], 2, axis=-1)
    view: Array = doubled[..., 0]
    view.flags.writeable = False
    return view


def _assert_three_parts(error: AlignerError) -> None:
    for part in ("what", "found", "hint"):
        assert getattr(error, part), f"{type(error).__name__} says nothing under {part!r}: {error}"
