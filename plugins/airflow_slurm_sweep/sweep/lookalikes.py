"""Characters that word processors, web pages and chats put in place of plain ones: no program reads those."""

from __future__ import annotations

import re
from unicodedata import normalize

_DASHES = "‐‑‒–—―−"
_QUOTES = "“”„‟"
_UNSEEN = "\u200b\u2060\ufeff"
_PLAIN = str.maketrans(
    {
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(_QUOTES, '"'),
        **dict.fromkeys("‘’‚‛", "'"),
        **dict.fromkeys(_UNSEEN, ""),
    }
)
# At the beginning of a word: an option with a long dash, and a text in quotes that no shell takes away.
_OPTION = re.compile(rf"(?:(?<=\s)|^)-?[{_DASHES}][-{_DASHES}]?(?=\w)\S*")
_QUOTED = re.compile(rf"(?:(?<=[\s=])|^)[{_QUOTES}‘]\S*")


def plain(text: str) -> str:
    """Return a text with plain characters, and without blanks around it."""
    return normalize("NFKC", text.translate(_PLAIN)).strip()


def has_odd_blank(text: str) -> bool:
    """Whether a text has a blank, seen or unseen, that is not a plain one."""
    return re.search(rf"[^\S \t\r\n]|[{_UNSEEN}]", text) is not None


def is_around(text: str) -> bool:
    """Whether a text stands in such quotes as a whole, or has odd blanks around it, or unseen ones in it."""
    is_quoted = len(text) > 1 and text[0] in _QUOTES + "‘" and text[-1] in _QUOTES + "’"
    return is_quoted or has_odd_blank(text[:1] + text[-1:]) or any(each in text for each in _UNSEEN)


def refuse_in_command(bare: str, text: str) -> None:
    """Raise ValueError for a word of a command that begins with a long dash or a typographer's quote.

    ``bare`` is the text with quoted parts blanked out.
    """
    for found in [*_OPTION.finditer(bare), *_QUOTED.finditer(bare)]:
        word = text[found.start() : found.end()]
        name = word.lstrip("-" + _DASHES)
        meant = plain(word) if name == word else f"{'--' if re.match('[^=]{2}', name) else '-'}{plain(name)}"
        raise ValueError(f"{word!r} begins with {word.lstrip('-')[0]}, as copied from a page; write {meant!r}")
