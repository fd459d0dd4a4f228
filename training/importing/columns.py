"""What a fitted pipeline expects, in terms of a feature table: its columns, and the class that is the risk's.

Nothing is guessed: what is not certain is refused, with what would make it certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from schemas.column_mapping import ColumnMapper
from schemas.errors import ArtifactError
from schemas.tables.feature_table import FeatureTable, Outcome
from scoring.pipeline_input import PipelineInput

_CLASSES: Final = 2


def pipeline_input(names: Sequence[str] | None, count: int | None, table: FeatureTable, positive: int) -> PipelineInput:
    """Return the input of a pipeline that was fitted on columns with these names, or on an array with `count` columns.

    Raises ArtifactError with all problems.
    """
    if names is None:
        return _array_input(count, table, positive)
    mapper = ColumnMapper(table)
    fields = [mapper.field_of(name) for name in names]
    problems = list(_column_problems(names, fields, table))
    if problems:
        raise ArtifactError("; ".join((f"the pipeline's columns are not those of {table.identifier}", *problems)))
    places = tuple(table.names.index(field) for field in fields if field is not None)
    return PipelineInput(places, tuple(names), tuple(table.features[j].labels for j in places), positive)


def _column_problems(names: Sequence[str], fields: Sequence[str | None], table: FeatureTable) -> Iterator[str]:
    unknown = [name for name, field in zip(names, fields, strict=True) if field not in table.names]
    if unknown:
        yield (
            f"the table has no field {', '.join(unknown)}: fit the pipeline without it, or add the field, or the "
            "column's name to the aliases of a field"
        )
    repeated = [field for field, times in Counter(fields).items() if field is not None and times > 1]
    if repeated:
        yield f"several columns mean {', '.join(repeated)}"
    if unused := [name for name in table.names if name not in fields]:
        yield f"the pipeline does not use {', '.join(unused)}: remove the field from the table"


def _array_input(count: int | None, table: FeatureTable, positive: int) -> PipelineInput:
    width = len(table.features)
    if count is None:
        raise ArtifactError(
            "the pipeline has neither feature_names_in_ nor n_features_in_, so its columns are not known: fit it on a "
            "data frame whose columns are the fields"
        )
    if count != width:
        raise ArtifactError(
            f"the pipeline was fitted on an array of {count} columns, and {table.identifier} has {width} fields: fit "
            "it on these fields, in the order of the table, or on a data frame that names them"
        )
    if texts := [feature.name for feature in table.features if feature.labels]:
        raise ArtifactError(
            f"the pipeline was fitted on an array, and the codes of {', '.join(texts)} are texts: fit it on a data "
            "frame with these texts"
        )
    return PipelineInput(tuple(range(width)), (), ((),) * width, positive)


def positive_class(classes: Sequence[object], chosen: str | None, outcome: Outcome) -> int:
    """Return the index of the class whose probability is the risk, in a fitted classifier's `classes_`.

    It is the `chosen` one (`--positive`), the 1 of 0 and 1 (True of False and True), or the one that the outcome of the
    feature table calls positive. Raises ArtifactError if these are several, or none.
    """
    shown = " and ".join(map(str, classes))
    if len(classes) != _CLASSES:
        raise ArtifactError(f"the classifier has {len(classes)} classes ({shown}): only two can be scored")
    if chosen is not None:
        found = {place for place, each in enumerate(classes) if str(each) == chosen}
        if len(found) != 1:
            raise ArtifactError(f"--positive must name one of the classifier's classes, {shown}")
        return found.pop()
    found = {each for each in (_one(classes), _by_table(classes, outcome)) if each is not None}
    if len(found) == 1:
        return found.pop()
    values = ", ".join(map(str, outcome.positive))
    problem = (
        f"the feature table calls {values} positive, the usual meaning of 1 is the opposite"
        if found
        else f"neither 0 and 1 nor values of the outcome {outcome.column} in the feature table"
    )
    raise ArtifactError(
        f"the classifier's classes are {shown}, {problem}: name the class of patients with {outcome.event} with "
        "--positive"
    )


def _one(classes: Sequence[object]) -> int | None:
    return classes.index(1) if set(classes) == {0, 1} else None


def _by_table(classes: Sequence[object], outcome: Outcome) -> int | None:
    # True equals 1, but is not the table's value 1.
    labels = [
        None if isinstance(each, bool) or not isinstance(each, int | float | str) else outcome.classes.get(each)  # type: ignore[arg-type]  # 1.0 finds 1
        for each in classes
    ]
    return labels.index(1) if set(labels) == {0, 1} else None
