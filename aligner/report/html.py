"""The comparison as one HTML file that opens offline: verdict, chart, every pair, no network.

Texts out of models are untrusted: the template escapes them, the script writes them as text, and the page's own
security policy runs no script but those that aligner put there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from aligner.records.comparison import GUILTY, Comparison, Finding, Pair, Side
from aligner.records.dissection import Dissection
from aligner.report.certificate_words import certificate_lines, floor_words
from aligner.report.codec import encode, plain
from aligner.report.dissection_view import dissection_view
from aligner.report.distinct_names import shortened, telling
from aligner.report.document_file import write_text
from aligner.report.error_rows import listed
from aligner.report.excerpt import one_line
from aligner.report.numbers import number, percent, plural, shape
from aligner.report.page import sentence, shorten, visible
from aligner.report.pair_table import within
from aligner.report.portable import portable
from aligner.report.preview_view import preview_views
from aligner.report.series_table import series
from aligner.report.words import (
    COUNTED,
    MARKS,
    brief,
    by_reason,
    how_much,
    how_sure,
    label,
    operation,
    other_culprits,
    place,
    position,
    tally,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

ASSETS = Path(__file__).parent / "assets"

_LONGEST, _HEADLINE, _NAME = 1200, 72, 28
"""Characters kept of one name, which a model may make of any length, of one in sentences, and of one in the table."""

_PART = 12
"""Letters of a word that is never parted."""

_PARTS = re.compile(r"(?<=[^\d\s][/._:;])(?=[^/._:;])|(?<=\d[/._:;])(?=[^/._:;\d])")
"""Behind a separator, but for the point of a number."""


def write_html(comparison: Comparison, target: Path | TextIO) -> None:
    """Write the page to a file (whole or not at all) or to an open stream.

    Raises OutputError where the target cannot be written.
    """
    write_text(to_html(comparison), target)


def to_html(comparison: Comparison) -> str:
    """The page as text; absolute paths are shortened."""
    comparison = portable(comparison)
    return rendered("report.html.j2", ("report.js", "beside.js"), _context(comparison), _data(comparison))


def rendered(template: str, scripts: Sequence[str], context: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """A page of its own: the template with what it shows, the chart's style and scripts, and the data they read."""
    texts = [asset(name) for name in ("uPlot.iife.min.js", *scripts)]
    styles = [asset("uPlot.min.css"), asset("report.css")]
    page = environment().get_template(template)
    return page.render(**context, styles=styles, scripts=texts, policy=policy(texts), data=embedded(data))


def environment() -> Environment:
    """Templates that escape whatever they are given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "prose": _prose, "brief": _brief, "unfolding": _unfolding}
    environment.filters |= {"number": number, "percent": percent, "shape": shape}
    environment.filters |= {"parted": parted, "how_much": how_much}
    return environment


def shown(text: str | None) -> str:
    """A name that shows what it is: control and direction characters escaped, its middle cut where it is endless."""
    text = visible((text or "")[: 4 * _LONGEST])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 3]}…{text[-2 * _LONGEST // 3 :]}"


def _prose(text: str | None) -> str:
    return visible(sentence((text or "")[: 10 * _LONGEST]))


def _brief(text: str | None) -> Markup:
    """A text whose endless words, the names of fused tensors, lose their middle and show it under the pointer."""
    return _cut(text, '<span title="{}">{}</span>')


def _unfolding(text: str | None) -> Markup:
    """The same with words that a click unfolds; not for the inside of links."""
    return _cut(text, '<button type="button" class="long" title="{}">{}</button>')


def _cut(text: str | None, form: str) -> Markup:
    from markupsafe import Markup

    cut = Markup(form)
    words = (visible(text or "")).split(" ")
    return Markup(" ").join(
        parted(word) if len(word) <= _HEADLINE else cut.format(shown(word), shorten(word, _HEADLINE)) for word in words
    )


def parted(text: str) -> Markup:
    """A name that a line breaks between its parts ("layers.", "0.", "q_"), before it breaks anywhere."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(map(escape, _PARTS.split(text))) if len(text) > _PART else escape(text)


def asset(name: str) -> str:
    """The text of a file that comes with the package."""
    return (ASSETS / name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str]) -> str:
    """Content-Security-Policy: nothing from anywhere, and only these scripts."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}"


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that is safe inside a script element: no character that HTML could read as markup."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(comparison: Comparison) -> dict[str, Any]:
    """What the script needs: pairs as in the JSON report, and where they stand."""
    return {
        "pairs": [_safe(encode(pair)) | {"op": shown(operation(pair))} for pair in comparison.pairs],
        "first": position(comparison.pairs, comparison.first_divergence),
        "outputs": [position(comparison.pairs, pair) for pair in comparison.outputs],
        "frameworks": [shown(comparison.reference.framework), shown(comparison.candidate.framework)],
        "words": {name: mark.strip("→? ") for name, mark in MARKS.items()},
        "causes": _causes_by_pair(comparison),
        "previews": {preview.pair: preview_views(preview) for preview in comparison.previews},
        "statistics": listed(),
        "regions": {item.pair: _region(item) for item in comparison.dissections},
    }


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {name: _safe(item) for name, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, list) else value


def _region(dissection: Dissection) -> dict[str, Any]:
    """A region whose texts are safe; its pictures are ours, and longer than any name may be."""
    view = dissection_view(dissection)
    strips = [weight.pop("strip") for weight in view["weights"]]
    safe: dict[str, Any] = _safe(plain(view))
    for weight, strip in zip(safe["weights"], strips, strict=True):
        weight["strip"] = strip
    return safe


def _causes_by_pair(comparison: Comparison) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for cause in comparison.causes:
        where = _place_of(comparison, cause)
        if where is not None:
            facts = {"title": _title(cause), "headline": cause is comparison.causes[0]}
            found.setdefault(where, []).append(facts | _safe(plain(_facts(cause))))
    return found


def _facts(cause: Finding) -> dict[str, str]:
    return {"evidence": sentence(cause.evidence), "suggestion": sentence(cause.suggestion)}


def _title(cause: Finding) -> str:
    return f"{shown(cause.id)} ({how_sure(cause)})"


def _place_of(comparison: Comparison, cause: Finding) -> int | None:
    """The pair that a cause speaks of."""
    for where, pair in enumerate(comparison.pairs):
        if cause.speaks_of(pair) and pair.verdict in GUILTY:
            return where
    return None


def _context(comparison: Comparison) -> dict[str, Any]:
    first = comparison.first_divergence
    return {
        "comparison": comparison,
        "title": shown(f"{comparison.verdict}: {Path(comparison.candidate.path).name} – aligner"),
        "line": one_line(comparison),
        "first": first,
        "first_at": position(comparison.pairs, first),
        "first_name": "" if first is None else shown(place(first.reference)),
        "first_short": "" if first is None else shorten(shown(place(first.reference)), _HEADLINE),
        "others": len(other_culprits(comparison)),
        "causes": [cause_view(comparison, cause) for cause in comparison.causes],
        "pictures": _first_pictures(comparison, first),
        "rows": list(_rows(comparison)),
        "verdicts": list(_verdicts(comparison)),
        "tally": tally(comparison.pairs),
        "series": series(comparison),
        "certificate": comparison.certificate,
        "certified": certificate_lines(comparison),
        "floor": floor_words(comparison.certificate) if comparison.certificate is not None else "",
        "outputs": [_output(comparison, pair) for pair in comparison.outputs],
        "unpaired": [
            (side, by_reason(items), plural(len(items), "tensor"))
            for side, items in (
                ("reference", comparison.unpaired_reference),
                ("candidate", comparison.unpaired_candidate),
            )
        ],
        "models": [("reference", comparison.reference), ("candidate", comparison.candidate)],
        "label": label,
    }


def cause_view(comparison: Comparison, cause: Finding) -> dict[str, Any]:
    """A cause, how far it is proven, and the position of the pair it speaks of."""
    return {"record": cause, "proof": how_sure(cause), "at": _place_of(comparison, cause)}


def _first_pictures(comparison: Comparison, first: Pair | None) -> list[dict[str, Any]]:
    """Reference, candidate and difference of the first divergence, to be seen before anything is read."""
    where = position(comparison.pairs, first)
    preview = next((preview for preview in comparison.previews if preview.pair == where), None)
    strips = [] if preview is None else preview_views(preview)["strips"]
    return [picture for picture in strips[0] if not picture.get("wide")] if strips else []


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    sides = ([pair.reference for pair in comparison.pairs], [pair.candidate for pair in comparison.pairs])
    cut = [shortened(_words(column), _NAME) for column in sides]
    for where, pair in enumerate(comparison.pairs):
        yield {
            "pair": pair,
            "place": where,
            "first": pair is comparison.first_divergence,
            "mark": MARKS[pair.verdict].strip(),
            "op": operation(pair),
            "names": [(label(side[where]), short[where]) for side, short in zip(sides, cut, strict=True)],
            "source": pair.reference.source or pair.candidate.source or "",
        }


def _words(sides: Sequence[Side]) -> list[str]:
    return telling([shown(brief(side)) for side in sides], [shown(label(side)) for side in sides])


def _verdicts(comparison: Comparison) -> Iterator[tuple[str, str, int]]:
    every = [str(pair.verdict) for pair in comparison.pairs]
    for name, word in COUNTED.items():
        if name in every:
            yield name, word, every.count(name)


def _output(comparison: Comparison, pair: Pair) -> dict[str, Any]:
    return {"pair": pair, "at": position(comparison.pairs, pair), "within": within(pair)}
