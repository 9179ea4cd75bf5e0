"""``python -m docs.generate`` writes the pages that are made from the code; a test says when that is due."""

from docs.generate.pages import PAGES, ROOT, page

for name in PAGES:
    (ROOT / "docs" / name).write_text(page(name), encoding="utf-8")
