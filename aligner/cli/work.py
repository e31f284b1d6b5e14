"""What every command works in: a quiet terminal, a progress bar, and the streams that reach the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.cli.guard import decided
from aligner.cli.report_options import to_stdout, write_reports
from aligner.cli.view_options import selection

if TYPE_CHECKING:
    from rich.console import Console

    from aligner.records.comparison import Comparison


class working:  # noqa: N801 - used as a function: with _working(...) as work
    """Framework chatter off the terminal, a progress bar on stderr, and consoles that still reach the user."""

    def __init__(self, verbose: bool) -> None:
        from aligner.cli.chatter import quiet

        self._quiet = quiet(verbose=verbose)

    def __enter__(self) -> working:
        from aligner.cli.progress_bar import ProgressBar

        self._terminal = self._quiet.__enter__()
        self._bar = ProgressBar(self._terminal.err)
        self._bar.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._bar.__exit__(*failure)
        self._quiet.__exit__(*failure)

    @property
    def console(self) -> Console:
        """The user's standard output; the progress bar is gone by the time anything is printed."""
        from rich.console import Console

        self._bar.stop()
        return Console(file=self._terminal.out, highlight=False, soft_wrap=False)

    def print(self, text: str, *, wrap: bool = True) -> None:
        """Plain text to standard output; lines to be copied are not wrapped."""
        from aligner.report.page import visible

        lines = (visible(line) for line in text.split("\n"))
        self.console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=not wrap)

    def notes(self, notes: tuple[str, ...]) -> None:
        """One line for each note."""
        for note in notes:
            self.print(f"note: {note}")

    def target(self, json_file: str) -> Any:
        """Where a document goes: standard output for "-", else the file."""
        self._bar.stop()
        return self._terminal.out if json_file == "-" else Path(json_file)

    def wrote(self, given: dict[str, Any], document: Callable[[], Mapping[str, Any]]) -> bool:
        """Write a document where ``--json`` asks for it; whether standard output is left for words."""
        json_file = given["json_file"]
        if json_file:
            from aligner.report.document_file import write_document

            write_document(document(), self.target(json_file))
        return bool(json_file != "-")

    def save_map(self, given: dict[str, Any], mapping: tuple[tuple[str, str], ...]) -> None:
        """Write a pairing where ``--save-map`` asks for it."""
        if given["save_map"]:
            from aligner.api.mapping_file import write_mapping

            write_mapping(mapping, self.target(given["save_map"]))

    def report(
        self, comparison: Comparison, given: dict[str, Any], *, printed: bool = True, code: int | None = None
    ) -> int:
        """Print the terminal report and write the others; the exit code, the verdict's where no other is given."""
        json_file = given.get("json_file")
        code = decided(comparison.exit_code if code is None else code)
        if json_file:
            from aligner.report.json_document import write_json

            write_json(comparison, self.target(json_file))
        self._bar.stop()
        write_reports(comparison, given, self._terminal.out)
        if printed and not to_stdout(given):
            from aligner.report.terminal import print_comparison

            print_comparison(
                comparison,
                self.console,
                full=bool(given.get("full")),
                quiet=bool(given.get("quiet")),
                pictures=bool(given.get("pictures")),
                selection=selection(given),
            )
            if given.get("timing"):
                from aligner.report.timing_table import print_timing

                print_timing(comparison, self.console)
        return code
