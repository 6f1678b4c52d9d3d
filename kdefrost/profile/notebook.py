"""A profile where a notebook shows it; the method is bound to the class where the package is put together."""

import html

from kdefrost.profile import words
from kdefrost.profile.reasons import reasons
from kdefrost.profile.result import DefrostProfile
from kdefrost.tables import as_html


def as_notebook_html(profile: DefrostProfile) -> str:
    """The sentences and tables of `summary` as HTML, which notebooks show in its place."""
    if not profile.trials:
        return "<p>No trials have finished.</p>"
    parts = []
    for size in profile.per_class:
        said = " ".join([words.sentence(profile, size), *reasons(profile, size)])
        parts.append(f"<p><b>{html.escape(words.size_text(profile, size).capitalize())}:</b> {html.escape(said)}</p>")
    for metric in profile.metrics:
        parts.append(f"<p><b>{html.escape(words.heading(profile, metric))}</b></p>")
        parts.append(as_html(words.table_rows(profile, metric), left=(1,)))
    parts.append(f"<p>{html.escape(words.reading(profile))}</p>")
    return "\n".join(parts)
