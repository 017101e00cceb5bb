"""Names, texts and numbers in, HTML and SVG out: what is not markup already is escaped, so that no name breaks a page."""

from __future__ import annotations

from html import escape

VOID = ("br", "img", "link", "meta")
"""Elements of HTML that have no content and no end; SVG's are closed in the ordinary way."""


class Markup(str):
    """Text that is HTML or SVG already, and goes into other markup as it is."""

    __slots__ = ()


def element(tag: str, /, *content: str, **attributes: str | float | bool | None) -> Markup:
    """An element with its attributes and content: `element("p", "3 < 4", class_="note")`.

    An underscore in an attribute's name stands for a hyphen, one at its end keeps it apart from Python's words. Numbers
    are given with two decimals at most; True is an attribute without a value, None and False leave it out.
    """
    given = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if tag in VOID:
        assert not content
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{joined(*content)}</{tag}>")


def joined(*content: str) -> Markup:
    """Pieces one after the other: texts are escaped, markup is not."""
    return Markup("".join(piece if isinstance(piece, Markup) else escape(piece) for piece in content))


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{escape(value if isinstance(value, str) else _short(value))}"'


def _short(number: float) -> str:
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
