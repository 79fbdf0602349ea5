"""Small pieces of HTML for how notebooks show records: no scripts, no style sheets, readable on light and dark."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from bionemo.core.checks import AnyFloat, AnyInt, as_int

__all__ = ["bar", "card", "cells", "color_of", "details", "shade_of", "table", "text"]

_LONGEST: Final = 200
"""Number of characters of a text that are shown."""
_HUES: Final = ((205, 75), (35, 85), (160, 70), (320, 50), (15, 85), (265, 50), (60, 70), (190, 60))
"""Hue and saturation in percent of the colors of categories: neighbours differ for colour-blind readers, too."""
_PLAIN: Final = "background:transparent;border:none;text-align:left;vertical-align:top;padding:1px 10px 1px 0"
"""Style of cells of a table, which overrides the stripes and the right alignment of Jupyter's own style."""


def text(value: object, /) -> str:
    """Return the text of a value, cut to 200 characters and escaped.

    Example:
        >>> text("<b> & more")
        '&lt;b&gt; &amp; more'
    """
    whole = str(value)
    return escape(whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 3]}...")


def color_of(number: AnyInt, /, *, opacity: AnyFloat = 0.45) -> str:
    """Return a color for a category, e.g. a source; they repeat after eight. By default text is readable on it.

    Example:
        >>> color_of(0), color_of(8) == color_of(0)
        ('hsl(205 75% 50% / 0.45)', True)
    """
    hue, saturation = _HUES[as_int(number) % len(_HUES)]
    return f"hsl({hue} {saturation}% 50% / {float(opacity):.2f})"


def shade_of(fraction: AnyFloat, /) -> str:
    """Return a half-transparent color for a fraction, 0..1: from blue by purple and red to orange.

    Example:
        >>> shade_of(0), shade_of(1)
        ('hsl(220 70% 50% / 0.40)', 'hsl(40 70% 50% / 0.40)')
    """
    hue = (220 + round(180 * min(max(float(fraction), 0.0), 1.0))) % 360
    return f"hsl({hue} 70% 50% / 0.40)"


def card(title: str, *parts: str) -> str:
    """Return parts of HTML below a title, which is text.

    Example:
        >>> card("Title", "<p>body</p>").count("<p>body</p>")
        1
    """
    body = "".join(parts)
    return f'<div style="color:inherit;line-height:1.4;max-width:60em"><strong>{text(title)}</strong>{body}</div>'


def table(rows: Iterable[tuple[str, str]], /) -> str:
    """Return a table of names, which are text, and values, which are HTML.

    Example:
        >>> "seed" in table([("seed", text(42))])
        True
    """
    body = "".join(
        f'<tr style="background:transparent"><td style="{_PLAIN};opacity:0.7;white-space:nowrap">{text(name)}</td>'
        f'<td style="{_PLAIN}">{value}</td></tr>'
        for name, value in rows
    )
    return f'<table style="border:none;border-collapse:collapse;margin:2px 0"><tbody>{body}</tbody></table>'


def cells(parts: Iterable[tuple[str, str, str]], /) -> str:
    """Return a strip of small cells, each with a text, a color, and a title that is shown when the mouse is over it.

    Example:
        >>> cells([("7", shade_of(0.5), "position 0: idx 7")]).count("span")
        2
    """
    style = "display:inline-block;min-width:1.3em;padding:0 3px;margin:1px;border-radius:2px;text-align:center"
    return "".join(
        f'<span style="{style};background:{color}" title="{text(title)}">{text(word)}</span>'
        for word, color, title in parts
    )


def bar(parts: Iterable[tuple[AnyFloat, str, str]], /) -> str:
    """Return a bar of parts side by side, each with its fraction of the width, a color and a title.

    Example:
        >>> bar([(0.25, color_of(0), "source 0: 25%")]).count("width:25.00%")
        1
    """
    outer = "display:inline-block;width:18em;max-width:60%;height:1em;vertical-align:middle;border-radius:3px"
    outer += ";overflow:hidden;background:hsl(0 0% 50% / 0.2)"
    return f'<span style="{outer}">{"".join(_bar_parts(parts))}</span>'


def _bar_parts(parts: Iterable[tuple[AnyFloat, str, str]]) -> Iterator[str]:
    for fraction, color, title in parts:
        width = 100 * min(max(float(fraction), 0.0), 1.0)
        style = f"display:inline-block;height:100%;width:{width:.2f}%;background:{color}"
        yield f'<span style="{style}" title="{text(title)}"></span>'


def details(summary: str, body: str, /) -> str:
    """Return HTML that opens when its summary, which is text, is clicked.

    Example:
        >>> details("more", "<p>body</p>")
        '<details><summary style="cursor:pointer">more</summary><p>body</p></details>'
    """
    return f'<details><summary style="cursor:pointer">{text(summary)}</summary>{body}</details>'
