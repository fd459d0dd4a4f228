"""The documents show the results of one model, which they name by its digest."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documents_are_of_one_model() -> None:
    """The scores, resources and tables that they print; but for a model that they make from it, as `+refit`."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if "+refit" not in line]
    digests = {digest for line in lines for digest in re.findall(r"\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{16}\b", line)}
    assert len(digests) == 1
