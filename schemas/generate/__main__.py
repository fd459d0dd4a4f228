"""Write the generated documents of the contract: `python -m schemas.generate`."""

from __future__ import annotations

import sys

from schemas.generate import documents


def main() -> None:
    """Write all documents to `schemas/json/`."""
    documents.FOLDER.mkdir(exist_ok=True)
    for name, document in documents.documents().items():
        (documents.FOLDER / name).write_text(documents.render(document), encoding="utf-8")
        sys.stdout.write(f"wrote schemas/json/{name}\n")


if __name__ == "__main__":
    main()
