//! From the bytes of records to rows of numbers.
use std::collections::HashMap;
use std::io::BufRead;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::json::Cursor;

const PATIENT_ID: &str = "patient_id";

/// One field: its valid values, and the numbers that mean "not measured".
#[derive(FromPyObject)]
struct Field {
    name: String,
    labels: Vec<String>,
    missing: Vec<f64>,
    low: f64,
    high: f64,
    is_whole: bool,
    is_required: bool,
    gaps: Vec<(f64, f64)>,
}

impl Field {
    /// Reads a value as a number; NaN is "not measured". `None` for anything that is not certainly valid.
    #[inline]
    fn read(&self, cursor: &mut Cursor) -> Option<f64> {
        if cursor.null() {
            return (!self.is_required).then_some(f64::NAN);
        }
        if !self.labels.is_empty() {
            let text = cursor.string()?;
            return self.labels.iter().position(|label| label.as_bytes() == text).map(|code| code as f64);
        }
        self.accept(cursor.number()?)
    }

    /// Returns a number if it is valid, and NaN if it means "not measured".
    #[inline]
    fn accept(&self, value: f64) -> Option<f64> {
        if value.is_nan() || self.missing.contains(&value) {
            return (!self.is_required).then_some(f64::NAN);
        }
        let is_valid = value >= self.low
            && value <= self.high
            && (!self.is_whole || value == value as i64 as f64)
            && !self.gaps.iter().any(|(low, high)| value > *low && value < *high);
        is_valid.then_some(value)
    }
}

/// Reads the records of one feature table.
#[pyclass]
pub struct Decoder {
    fields: Vec<Field>,
    by_name: HashMap<Vec<u8>, usize>,
    /// The names as JSON. They have nothing to escape.
    quoted_names: Vec<Vec<u8>>,
    most_bytes: usize,
    most_id_chars: usize,
    /// The members of the last record, in its order: producers hardly ever change it. The id is after all fields.
    order: Vec<usize>,
    /// For each member, the number of the last record that has it.
    seen: Vec<u64>,
    records: u64,
}

#[pymethods]
impl Decoder {
    /// `fields` have the attributes of `Field`, in the order of the columns.
    #[new]
    fn new(fields: Vec<Field>, most_bytes: usize, most_id_chars: usize) -> Self {
        let members = fields.len() + 1;
        let names: Vec<_> = fields.iter().map(|field| field.name.clone()).chain([PATIENT_ID.into()]).collect();
        let quoted_names = names.iter().map(|name| format!("\"{name}\"").into_bytes()).collect();
        let by_name = names.into_iter().enumerate().map(|(place, name)| (name.into_bytes(), place)).collect();
        let (order, seen) = ((0..members).collect(), vec![0; members]);
        Decoder { fields, by_name, quoted_names, most_bytes, most_id_chars, order, seen, records: 0 }
    }

    /// Reads the records that are certainly valid and name no coding into rows of `matrix` (n, fields).
    ///
    /// Returns each record's id, `None` where it was not read, and the positions of those. Their rows are undefined.
    fn decode<'py>(
        &mut self,
        py: Python<'py>,
        values: &Bound<'py, PyList>,
        matrix: PyBuffer<f64>,
    ) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
        let width = self.fields.len();
        let mut rows = vec![f64::NAN; values.len() * width];
        let mut ids = Vec::with_capacity(values.len());
        let mut others = Vec::new();
        for (place, (value, row)) in values.iter().zip(rows.chunks_exact_mut(width)).enumerate() {
            let id = value.cast::<PyBytes>().ok().and_then(|bytes| self.read(bytes.as_bytes(), row));
            if id.is_none() {
                others.push(place);
            }
            ids.push(id.map(|text| PyString::new(py, text)));
        }
        matrix.copy_from_slice(py, &rows)?;
        Ok((PyList::new(py, ids)?, others))
    }

    /// Reads lines as `decode` reads records; blank lines are skipped. Other Python threads run meanwhile.
    ///
    /// Returns the number of lines, and position, start and end of each that was not read. The id of a record is where
    /// `starts` and `ends` say. There must be a row of `matrix` for every line.
    fn decode_lines(
        &mut self,
        py: Python,
        block: &Bound<PyBytes>,
        matrix: PyBuffer<f64>,
        starts: PyBuffer<i64>,
        ends: PyBuffer<i64>,
    ) -> PyResult<(usize, Vec<Line>)> {
        let (mut rows, block) = (vec![f64::NAN; matrix.item_count()], block.as_bytes());
        let (mut ids, mut others) = ((vec![0; starts.item_count()], vec![0; ends.item_count()]), Vec::new());
        let count = py.detach(|| self.read_lines(block, &mut rows, &mut ids, &mut others))?;
        matrix.copy_from_slice(py, &rows)?;
        starts.copy_from_slice(py, &ids.0)?;
        ends.copy_from_slice(py, &ids.1)?;
        Ok((count, others))
    }

    /// Replaces the numbers of `matrix` (n, fields) that mean "not measured" by NaN; returns the rows that are invalid.
    fn check(&self, py: Python, matrix: PyBuffer<f64>) -> PyResult<Vec<usize>> {
        let (mut rows, mut invalid) = (matrix.to_vec(py)?, Vec::new());
        for (place, row) in rows.chunks_exact_mut(self.fields.len()).enumerate() {
            let mut is_valid = true;
            for (value, field) in row.iter_mut().zip(&self.fields) {
                match field.accept(*value) {
                    Some(accepted) => *value = accepted,
                    None => is_valid = false,
                }
            }
            if !is_valid {
                invalid.push(place);
            }
        }
        matrix.copy_from_slice(py, &rows)?;
        Ok(invalid)
    }
}

/// Position, start and end.
type Line = (usize, usize, usize);

impl Decoder {
    fn read_lines(
        &mut self,
        block: &[u8],
        rows: &mut [f64],
        (starts, ends): &mut (Vec<i64>, Vec<i64>),
        others: &mut Vec<Line>,
    ) -> PyResult<usize> {
        let (mut place, mut count) = (0, 0);
        let mut rows = rows.chunks_exact_mut(self.fields.len());
        while place < block.len() {
            let (start, mut rest) = (place, &block[place..]);
            place += rest.skip_until(b'\n')?;
            let end = place - usize::from(block[place - 1] == b'\n');
            let line = &block[start..end];
            if line.iter().all(|byte| matches!(byte, b' ' | 9..=13)) {
                continue;
            }
            let (row, first, last) = match (rows.next(), starts.get_mut(count), ends.get_mut(count)) {
                (Some(row), Some(first), Some(last)) => (row, first, last),
                _ => return Err(PyValueError::new_err("there must be a row for every line")),
            };
            match self.read(line, row) {
                Some(id) => {
                    *first = (id.as_ptr() as usize - block.as_ptr() as usize) as i64;
                    *last = *first + id.len() as i64;
                }
                None => others.push((count, start, end)),
            }
            count += 1;
        }
        Ok(count)
    }

    /// Reads a record into `row`; returns its id.
    fn read<'a>(&mut self, value: &'a [u8], row: &mut [f64]) -> Option<&'a str> {
        if value.len() > self.most_bytes {
            return None;
        }
        self.records += 1;
        let mut cursor = Cursor::new(value);
        let mut id = None;
        if cursor.token() != b'{' {
            return None;
        }
        for place in 0..self.order.len() {
            let usual = self.order[place];
            let member = if cursor.literal(&self.quoted_names[usual]) {
                usual
            } else {
                let found = *self.by_name.get(cursor.string()?)?;
                self.order[place] = found;
                found
            };
            if std::mem::replace(&mut self.seen[member], self.records) == self.records || cursor.token() != b':' {
                return None;
            }
            match self.fields.get(member) {
                Some(field) => row[member] = field.read(&mut cursor)?,
                None => id = Some(cursor.string()?),
            }
            let end = if place + 1 < self.order.len() { b',' } else { b'}' };
            if cursor.token() != end {
                return None;
            }
        }
        let id = std::str::from_utf8(id?).ok()?;
        let is_valid = !id.is_empty() && (id.len() <= self.most_id_chars || id.chars().count() <= self.most_id_chars);
        (is_valid && cursor.is_at_end()).then_some(id)
    }
}
