"""Sections in, one page of HTML out that needs nothing else: no network, no script, its style and pictures inside it.

Plain functions make the markup: a template language would be one more dependency, and escapes no better than `element`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelwise.report.markup import Markup, element, joined
from pixelwise.version import __version__

STYLE = Path(__file__).with_name("style.css")

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser is to load for the page: nothing from anywhere."""


@dataclass(frozen=True)
class Section:
    """A part of a page: `name` is its address on the page (a word), and `content` what follows its heading."""

    name: str
    title: str
    content: Sequence[str]


def page(title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> str:
    """A whole page: heading, `facts` (what was done on what), ways to the sections, and the sections."""
    style = Markup(STYLE.read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # Browsers ask the server of a page for its icon, unless the page says that there is none.
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", style),
    )
    ways = [element("li", element("a", section.title, href=f"#{section.name}")) for section in sections]
    given = [joined(element("dt", name), element("dd", value)) for name, value in facts.items()]
    body = element(
        "body",
        element("a", "Skip to the results", href="#results", class_="skip"),
        element("header", element("h1", title), element("dl", *given, class_="facts")),
        element("nav", element("ul", *ways), aria_label="Sections"),
        element("main", *map(_section, sections), id="results", tabindex=-1),
        element("footer", element("p", f"Made by pixelwise {__version__}.")),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    heading = f"{section.name}-heading"
    return element(
        "section",
        element("h2", section.title, id=heading),
        *section.content,
        id=section.name,
        aria_labelledby=heading,
    )
