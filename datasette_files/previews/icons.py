"""SVG icons by family: a sheet in the family's colour, its sign, and the type's short name.

Pure: makes SVG text of a content type and a file name. The label comes from a file name, so it is
escaped here. A very small icon shows only its sign, larger; a large one has a margin. The media
queries inside the SVG apply to the icon's own size. Families are in media/families.py.
"""

from __future__ import annotations

from html import escape

from ..media.families import family

#: Colours by family. Contrast: at least 4.5:1 against white letters, 3:1 against dark pages.
_COLOURS = {
    "image": "#1f7f50",
    "video": "#b53a70",
    "audio": "#a65a0b",
    "document": "#c23b2e",
    "table": "#237a85",
    "text": "#456c9e",
    "code": "#6d5bc4",
    "archive": "#7d6c1c",
    "other": "#69717d",
}
#: White signs by family, within x 40-160 and y 33-116, so that the folded corner stays free.
_SIGNS = {
    "image": '<path d="M42 112l38-48 24 28 16-18 38 38z"/><circle cx="118" cy="50" r="12"/>',
    "video": '<path d="M74 36l66 39-66 39z"/>',
    "audio": '<path d="M78 42l54-12v64a17 14 0 1 1-11-13V57l-32 7v40a17 14 0 1 1-11-13z"/>',
    "document": '<path d="M48 50h44v38H48zM104 53h48v11h-48zM104 77h48v11h-48z'
    'M48 101h104v11H48z"/>',
    "table": '<path d="M46 53h108v16H46zM46 76h50v15H46zM104 76h50v15h-50zM46 98h50v15H46z'
    'M104 98h50v15h-50z"/>',
    "text": '<path d="M46 33h74v11H46zM46 56h108v11H46zM46 79h108v11H46zM46 102h64v11H46z"/>',
    "code": '<path d="M84 38l10 9-29 28 29 28-10 9-40-37zM116 38l-10 9 29 28-29 28 10 9 40-37z"/>',
    "archive": '<path d="M84 20h16v14H84zM100 34h16v14h-16zM84 48h16v14H84zM100 62h16v14h-16z'
    'M84 82h32v24a10 10 0 0 1-10 10H94a10 10 0 0 1-10-10z"/>',
    "other": '<circle cx="62" cy="76" r="12"/><circle cx="100" cy="76" r="12"/>'
    '<circle cx="138" cy="76" r="12"/>',
}

_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="200" height="200" \
role="img" aria-label="{label} file">
<style>@media (max-width: 28px) {{ .name {{ display: none }} \
.sign {{ transform: translate(-30px, 3px) scale(1.3) }} }}
@media (min-width: 130px) {{ .whole {{ transform: translate(44px, 44px) scale(.56) }} }}</style>
<g class="whole">
<path d="M30 6h104l42 42v134a12 12 0 0 1-12 12H36a12 12 0 0 1-12-12V18a12 12 0 0 1 6-12z" \
fill="{colour}"/>
<path d="M134 6v30a12 12 0 0 0 12 12h30z" fill="#fff" fill-opacity=".45"/>
<g class="sign" fill="#fff">{sign}</g>
<g class="name"><rect x="34" y="128" width="132" height="54" rx="6" fill="#fff"/>
<text x="100" y="{baseline}" font-family="system-ui, sans-serif" font-size="{size}" \
font-weight="700" fill="{colour}" text-anchor="middle">{label}</text></g>
</g>
</svg>
"""
#: The largest font size, and the width of a label, in units of the viewBox.
_MAX_FONT_SIZE, _LABEL_WIDTH = 46, 124


def icon(content_type: str, filename: str) -> str:
    """Return an SVG document for a file without a thumbnail."""
    name = family(content_type)
    label = escape(_label(content_type, filename))
    # In em of a bold sans serif font, in which W and M are the widest.
    width = sum(1.15 if character in "WM" else 0.8 for character in label)
    size = min(_MAX_FONT_SIZE, int(_LABEL_WIDTH / width))
    return _SVG.format(
        label=label,
        colour=_COLOURS[name],
        sign=_SIGNS[name],
        size=size,
        baseline=155 + size * 36 // 100,  # centres the capitals in the label
    )


def _label(content_type: str, filename: str) -> str:
    """Return at most six capitals and digits: the extension, else the end of the type's name."""
    extension = filename.rpartition(".")[2] if "." in filename else ""
    subtype = content_type.rpartition("/")[2].rpartition("-")[2]
    for name in (extension, "" if subtype == "stream" else subtype):
        if 0 < len(name) <= 6 and name.isascii() and name.isalnum():
            return name.upper()
    return "FILE"
