"""Write the generated documents of the contract: `python -m schemas.generate`."""

from __future__ import annotations

import sys

from schemas.fhir.mapping import FhirMapping
from schemas.generate import documents, fhir_page, schemas_page
from schemas.tables.builtin import UCI_HEART


def main() -> None:
    """Write all documents to `schemas/json/` and `docs/schemas.md`, the FHIR codes to `docs/fhir.md`, and the form."""
    documents.FOLDER.mkdir(exist_ok=True)
    written = documents.documents()
    for name, document in written.items():
        (documents.FOLDER / name).write_text(documents.render(document), encoding="utf-8")
        sys.stdout.write(f"wrote schemas/json/{name}\n")
    schemas_page.PAGE.write_text(schemas_page.render(written), encoding="utf-8")
    sys.stdout.write("wrote docs/schemas.md\n")
    mapping = FhirMapping.of(UCI_HEART)
    if mapping is not None:
        page = fhir_page.PAGE.read_text(encoding="utf-8")
        fhir_page.PAGE.write_text(fhir_page.render(page, mapping), encoding="utf-8")
        fhir_page.FORM.write_text(fhir_page.form(mapping), encoding="utf-8")
        sys.stdout.write("wrote the codes in docs/fhir.md, and its Questionnaire\n")


if __name__ == "__main__":
    main()
