"""What is wrong with a page for those who hear it, enlarge it, or see few colours."""

import json
from collections.abc import Mapping
from typing import Any

from playwright.async_api import Page

from browser.watched import AXE, needs

RIGHTMOST = """Math.max(document.documentElement.scrollWidth,
  ...[...document.querySelectorAll("main, main *")].map(each => each.getBoundingClientRect().right))"""
"""How far a page reaches, in pixels."""


async def axe_finds(page: Page) -> Mapping[str, Any]:
    """What axe-core has to say against it, rule by rule; also what it cannot decide."""
    needs(AXE)
    await page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations", "incomplete"]}
    found = json.loads(await page.evaluate(f"axe.run(document, {json.dumps(options)}).then(JSON.stringify)"))
    return {
        each["id"]: [(node["html"], node.get("failureSummary", "")) for node in each["nodes"]]
        for each in found["violations"] + found["incomplete"]
    }
