"""axe-core on a page: the rules of WCAG 2.2 AA that a machine can check, and its best practices."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.conftest import missing

_AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"

# Datasette's own page around ours: not ours to mend.
_OUTSIDE = ["header.hd", "footer.ft", "navigation-search", ".page-action-menu"]


def violations(page: Page, within: str | None = None) -> list[str]:
    """One line for each element that breaks a rule.

    ``within``, a selector, is for what is ours on a page of Datasette's.
    """
    if not _AXE.exists():
        missing("axe-core (npm install --no-save --no-package-lock axe-core)")
    # Evaluated by the debugger's protocol: the page's policy forbids to add it as a script.
    page.evaluate(_AXE.read_text("utf-8"))
    # Colours in the midst of a transition are nobody's design.
    page.evaluate("() => Promise.allSettled(document.getAnimations().map((a) => a.finished))")
    found = page.evaluate(
        """([outside, within]) => axe.run(
            {exclude: outside.map((selector) => [selector]), ...(within && {include: [within]})},
            {
                resultTypes: ["violations"],
                rules: within ? {region: {enabled: false}} : {},  // of the page around
            },
        )""",
        [_OUTSIDE, within],
    )
    return [
        f"{violation['id']} ({violation['help']}): {node['html']} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
