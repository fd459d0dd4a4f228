"""Column names and words for codes each have one meaning."""

from __future__ import annotations

from itertools import chain

from schemas.column_mapping import ColumnMapping
from schemas.csv_cells import NA_VALUES, CellReader
from schemas.read_options import ReadOptions
from schemas.tables.names import normalized
from tests.support.uci import COLUMN_NAMES, FEATURES, UCI, field_of, map_columns


def test_a_name_belongs_to_one_field() -> None:
    """No alias equals another field's name or alias, ignoring case and punctuation, and no alias is a number."""
    names = [normalized(name) for feature in FEATURES for name in (feature.name, *feature.aliases)]
    assert len({*names}) == len(names)
    assert all(field_of(name.upper()) == feature.name for feature in FEATURES for name in feature.aliases)
    assert [field_of(each) for each in ("", "63", "1.0", "?", "gender")] == [None] * 5


def test_a_word_means_one_code_of_a_field_and_never_missing() -> None:
    """Within a field, a word means one code of the field's table, and no word is read as a missing value."""
    for feature in FEATURES:
        words = [normalized(text) for _, texts in feature.texts for text in texts]
        assert len({*words}) == len(words)
        assert {code for code, _ in feature.texts} <= {code for code, _ in feature.codes}
        assert {*words}.isdisjoint(map(normalized, NA_VALUES))
        reader = CellReader(UCI.table, ".", ReadOptions(), None)
        for code, texts in feature.texts:
            assert [reader.read(feature.name, text.upper().encode()) for text in texts] == [b"%d" % code] * len(texts)


def test_ids_come_from_the_column_that_an_option_names() -> None:
    """When an option names the id column, the file's own id column is not read."""
    header = ["Nr", "patient_id", *COLUMN_NAMES[1:]]
    by_column = map_columns(header, ReadOptions(id_column="nr"))
    by_row = map_columns(header, ReadOptions(row_ids=True, ignore_columns="Nr"))
    assert isinstance(by_column, ColumnMapping)
    assert isinstance(by_row, ColumnMapping)
    assert (by_column.places, by_row.places) == ((0, *range(2, 15)), (None, *range(2, 15)))
    assert 'ignored: "patient_id"' in chain(by_column.notes)


def test_options_must_name_one_column_that_is_not_a_field() -> None:
    """The column that an option names must exist exactly once, and the id column must not be a field."""
    for options, said in (
        (ReadOptions(id_column="absent"), "--id-column: 1 column(s) not found in the file"),
        (ReadOptions(id_column="age"), "--id-column: age is a field of the record, not an id"),
        (ReadOptions(ignore_columns="a,b"), "--ignore-columns: 2 column(s) not found in the file"),
        (ReadOptions(ignore_columns="chol"), "no column chol"),
    ):
        found = map_columns(COLUMN_NAMES, options)
        assert isinstance(found, list)
        assert said in found
    twice = map_columns([*COLUMN_NAMES, "Nr", "NR"], ReadOptions(id_column="nr", ignore_extra=True))
    assert isinstance(twice, list)
    assert "--id-column: the column occurs more than once" in twice
