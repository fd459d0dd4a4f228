//! From the bytes of records to rows of numbers.
use std::collections::HashMap;

use pyo3::buffer::PyBuffer;
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
        let value = cursor.number()?;
        if self.missing.contains(&value) {
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
        let names = fields.iter().map(|field| field.name.as_str()).chain([PATIENT_ID]);
        let by_name = names.enumerate().map(|(place, name)| (name.as_bytes().to_vec(), place)).collect();
        let (order, seen) = ((0..members).collect(), vec![0; members]);
        Decoder { fields, by_name, most_bytes, most_id_chars, order, seen, records: 0 }
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
}

impl Decoder {
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
            let member = self.member(place, cursor.string()?)?;
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

    /// Returns the member of this name; remembers it as the one at `place`.
    #[inline]
    fn member(&mut self, place: usize, name: &[u8]) -> Option<usize> {
        let usual = self.order[place];
        let usual_name = self.fields.get(usual).map_or(PATIENT_ID, |field| &field.name);
        if usual_name.as_bytes() == name {
            return Some(usual);
        }
        let found = *self.by_name.get(name)?;
        self.order[place] = found;
        Some(found)
    }
}
