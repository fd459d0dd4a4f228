//! From columns to the bytes of scores.
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};

use crate::json::{write_decimal, write_integer, write_string};

const RISK_STEPS: f64 = 1e6;
const INTERVAL_STEPS: f64 = 1e4;
const LOG_ODDS_STEPS: f64 = 1e3;
/// Larger contributions are written by Python.
const MOST_LOG_ODDS_STEPS: f64 = 1e9;
/// Real data has about 50; the limit, and the records of one batch, bound memory with artificial data.
const MOST_KINDS: usize = 4096;
/// About the size of a score with all details.
const USUAL_BYTES: usize = 640;
const WORDS: usize = 4;
const NULL: &[u8] = b"null";

/// Which fields of a record are missing, and which are outside of the training range, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind([u64; 2 * WORDS]);

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Most tables need one word of each four.
        self.0.iter().filter(|word| **word != 0).for_each(|word| state.write_u64(*word));
    }
}

/// A fast hash of a few words. Keys that collide on purpose could only slow down a map of bounded size.
#[derive(Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The members from `label` to `measure_next`, for labels 0 and 1.
type Metadata = (Vec<u8>, Vec<u8>);

/// The ids of a batch: strings, or places in one text (`scoring.text_column.TextColumn`).
#[derive(FromPyObject)]
enum Ids<'py> {
    Objects(Bound<'py, PyList>),
    Column(TextColumn<'py>),
}

#[derive(FromPyObject)]
struct TextColumn<'py> {
    data: Bound<'py, PyBytes>,
    starts: PyBuffer<i64>,
    ends: PyBuffer<i64>,
}

/// The scores of a batch as columns; the attributes of `scoring.extension.Columns`.
#[derive(FromPyObject)]
struct Columns<'py> {
    patient_ids: Ids<'py>,
    matrix: PyBuffer<f64>,
    risks: PyBuffer<f64>,
    intervals: Option<(PyBuffer<f64>, PyBuffer<f64>)>,
    sampling_intervals: Option<(PyBuffer<f64>, PyBuffer<f64>)>,
    label_sets: Option<PyBuffer<i64>>,
    contributions: Option<PyBuffer<f64>>,
    digests: Option<Bound<'py, PyList>>,
    sources: Option<Bound<'py, PyList>>,
}

/// Writes the scores of one model.
#[pyclass]
pub struct Encoder {
    ranges: Vec<(f64, f64)>,
    threshold: f64,
    label_sets: Vec<Vec<u8>>,
    /// The beginning of a reason's JSON, up to its number, for each field with contributions.
    reasons: Vec<Vec<u8>>,
    reason_count: usize,
    /// The place of each kind in `metadata`.
    kinds: HashMap<Kind, u32, BuildHasherDefault<WordHasher>>,
    metadata: Vec<Metadata>,
    /// The number of bits of a reason's key that stand for its field and sign.
    key_bits: u32,
    keys: Vec<i64>,
    out: Vec<u8>,
}

#[pymethods]
impl Encoder {
    #[new]
    fn new(
        ranges: Vec<(f64, f64)>,
        threshold: f64,
        label_sets: Vec<Vec<u8>>,
        reasons: Vec<Vec<u8>>,
        reason_count: usize,
    ) -> PyResult<Self> {
        if ranges.len() > 64 * WORDS {
            return Err(PyValueError::new_err("the feature table has too many fields"));
        }
        let key_bits = usize::BITS - (2 * reasons.len()).leading_zeros();
        let (kinds, metadata, keys, out) = (HashMap::default(), Vec::new(), Vec::new(), Vec::new());
        Ok(Encoder { ranges, threshold, label_sets, reasons, reason_count, kinds, metadata, key_bits, keys, out })
    }

    /// Returns the JSON of each score. Raises ValueError for anything that Python has to write.
    ///
    /// `metadata` returns the members from `label` to `measure_next` of a row, for labels 0 and 1: they are kept for
    /// all records with the same missing fields, and fields outside of the training range.
    fn encode<'py>(
        &mut self,
        py: Python<'py>,
        columns: Columns<'py>,
        metadata: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let ids = Texts::of(py, &columns.patient_ids)?;
        let numbers = self.numbers(py, &columns, ids.len(), metadata)?;
        let mut sources = Sources::default();
        let mut found = Vec::with_capacity(ids.len());
        for row in 0..ids.len() {
            self.out.clear();
            self.write_score(&ids, &numbers, row)?;
            if let Some(digests) = &columns.digests {
                self.out.extend_from_slice(b",\"input_digest\":");
                write_text(&mut self.out, &digests.get_item(row)?)?;
            }
            self.out.extend_from_slice(b",\"source\":");
            match &columns.sources {
                Some(all) => sources.write(&mut self.out, &all.get_item(row)?)?,
                None => self.out.extend_from_slice(NULL),
            }
            self.out.push(b'}');
            found.push(PyBytes::new(py, &self.out));
        }
        PyList::new(py, found)
    }

    /// Returns the same scores as lines. They have neither digests nor sources: a file's rows have none.
    ///
    /// Other Python threads run meanwhile.
    fn encode_lines<'py>(
        &mut self,
        py: Python<'py>,
        columns: Columns<'py>,
        metadata: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let ids = Texts::of(py, &columns.patient_ids)?;
        let numbers = self.numbers(py, &columns, ids.len(), metadata)?;
        py.detach(|| self.write_lines(&ids, &numbers))?;
        Ok(PyBytes::new(py, &self.out))
    }
}

/// The ids of a batch in one text.
struct Texts<'a> {
    data: Cow<'a, [u8]>,
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl<'a> Texts<'a> {
    fn of(py: Python, ids: &'a Ids) -> PyResult<Self> {
        let list = match ids {
            Ids::Objects(list) => list,
            Ids::Column(TextColumn { data, starts, ends }) => {
                let (data, starts, ends) = (data.as_bytes().into(), starts.to_vec(py)?, ends.to_vec(py)?);
                return Ok(Texts { data, starts, ends });
            }
        };
        let mut data = Vec::with_capacity(16 * list.len());
        let (mut starts, mut ends) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
        for id in list {
            starts.push(data.len() as i64);
            data.extend_from_slice(id.cast::<PyString>()?.to_str()?.as_bytes());
            ends.push(data.len() as i64);
        }
        Ok(Texts { data: data.into(), starts, ends })
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    #[inline]
    fn get(&self, row: usize) -> PyResult<&str> {
        let (start, end) = (self.starts[row] as usize, self.ends[row] as usize);
        self.data.get(start..end).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(unusual)
    }
}

/// The numbers of `Columns`, copied. `metadata` (n,) are places in that of the encoder.
struct Numbers {
    metadata: Vec<u32>,
    risks: Vec<f64>,
    intervals: Option<(Vec<f64>, Vec<f64>)>,
    sampling_intervals: Option<(Vec<f64>, Vec<f64>)>,
    label_sets: Option<Vec<i64>>,
    contributions: Option<Vec<f64>>,
}

type Limits = (PyBuffer<f64>, PyBuffer<f64>);

fn pairs(py: Python, limits: &Option<Limits>) -> PyResult<Option<(Vec<f64>, Vec<f64>)>> {
    limits.as_ref().map(|(low, high)| Ok((low.to_vec(py)?, high.to_vec(py)?))).transpose()
}

impl Numbers {
    /// Checks that every column has one entry per record.
    fn require(&self, count: usize, reasons: usize) -> PyResult<()> {
        let has = |limits: &Option<(Vec<f64>, Vec<f64>)>| {
            limits.as_ref().is_none_or(|(low, high)| low.len() == count && high.len() == count)
        };
        let is_whole = self.metadata.len() == count
            && self.risks.len() == count
            && has(&self.intervals)
            && has(&self.sampling_intervals)
            && self.label_sets.as_ref().is_none_or(|each| each.len() == count)
            && self.contributions.as_ref().is_none_or(|each| each.len() == count * reasons);
        is_whole.then_some(()).ok_or_else(|| PyValueError::new_err("every column must have one entry per record"))
    }
}

fn unusual() -> PyErr {
    PyValueError::new_err("a score has an unusual number")
}

/// Rounds a number from 0 to 2^51 to a whole one, half to even: faster than a call of libm.
#[inline]
fn rounded(number: f64) -> f64 {
    const WHOLE: f64 = (1u64 << 52) as f64;
    (number + WHOLE) - WHOLE
}

/// Writes a Python string, or null for anything else.
#[inline]
fn write_text(out: &mut Vec<u8>, text: &Bound<'_, PyAny>) -> PyResult<()> {
    match text.cast::<PyString>() {
        Ok(text) => write_string(out, text.to_str()?),
        Err(_) => out.extend_from_slice(NULL),
    }
    Ok(())
}

impl Encoder {
    /// Copies the numbers of `columns`, and finds each record's metadata.
    fn numbers(&mut self, py: Python, columns: &Columns, count: usize, metadata: &Bound<PyAny>) -> PyResult<Numbers> {
        let numbers = Numbers {
            metadata: self.find_metadata(&columns.matrix.to_vec(py)?, metadata)?,
            risks: columns.risks.to_vec(py)?,
            intervals: pairs(py, &columns.intervals)?,
            sampling_intervals: pairs(py, &columns.sampling_intervals)?,
            label_sets: columns.label_sets.as_ref().map(|each| each.to_vec(py)).transpose()?,
            contributions: columns.contributions.as_ref().map(|each| each.to_vec(py)).transpose()?,
        };
        numbers.require(count, self.reasons.len())?;
        Ok(numbers)
    }

    /// Returns the place of each row's metadata.
    fn find_metadata(&mut self, matrix: &[f64], metadata: &Bound<PyAny>) -> PyResult<Vec<u32>> {
        if self.metadata.len() >= MOST_KINDS {
            self.kinds.clear();
            self.metadata.clear();
        }
        let mut places = Vec::with_capacity(matrix.len() / self.ranges.len());
        for (row, values) in matrix.chunks_exact(self.ranges.len()).enumerate() {
            let mut kind = Kind([0; 2 * WORDS]);
            for (j, (value, (low, high))) in values.iter().zip(&self.ranges).enumerate() {
                kind.0[j / 64] |= u64::from(value.is_nan()) << (j % 64);
                kind.0[WORDS + j / 64] |= u64::from(value < low || value > high) << (j % 64);
            }
            let place = match self.kinds.get(&kind) {
                Some(place) => *place,
                None => {
                    self.metadata.push(metadata.call1((row,))?.extract()?);
                    let place = (self.metadata.len() - 1) as u32;
                    self.kinds.insert(kind, place);
                    place
                }
            };
            places.push(place);
        }
        Ok(places)
    }

    fn write_lines(&mut self, ids: &Texts, numbers: &Numbers) -> PyResult<()> {
        self.out.clear();
        self.out.reserve(USUAL_BYTES * ids.len());
        for row in 0..ids.len() {
            self.write_score(ids, numbers, row)?;
            self.out.extend_from_slice(b",\"source\":null}\n");
        }
        Ok(())
    }

    /// Writes the members from `patient_id` to `reasons`.
    #[inline]
    fn write_score(&mut self, ids: &Texts, numbers: &Numbers, row: usize) -> PyResult<()> {
        let (reasons, risk) = (self.reasons.len(), numbers.risks[row]);
        self.out.extend_from_slice(b"{\"patient_id\":");
        write_string(&mut self.out, ids.get(row)?);
        self.write_risk(risk)?;
        self.out.extend_from_slice(b",\"label\":");
        let (healthy, diseased) = &self.metadata[numbers.metadata[row] as usize];
        self.out.extend_from_slice(if risk >= self.threshold { diseased } else { healthy });
        if let Some((low, high)) = &numbers.intervals {
            self.out.extend_from_slice(b",\"interval\":");
            if !write_interval(&mut self.out, low[row], high[row])? {
                self.out.extend_from_slice(NULL);
            }
        }
        if let Some((low, high)) = &numbers.sampling_intervals {
            let before = self.out.len();
            self.out.extend_from_slice(b",\"sampling_interval\":");
            if !write_interval(&mut self.out, low[row], high[row])? {
                self.out.truncate(before);
            }
        }
        if let Some(sets) = &numbers.label_sets {
            let set = usize::try_from(sets[row]).ok().and_then(|place| self.label_sets.get(place));
            self.out.extend_from_slice(b",\"label_set\":");
            self.out.extend_from_slice(set.ok_or_else(unusual)?);
        }
        if self.reason_count > 0 {
            self.out.extend_from_slice(b",\"reasons\":");
            match &numbers.contributions {
                Some(all) => self.write_reasons(&all[row * reasons..][..reasons])?,
                None => self.out.extend_from_slice(NULL),
            }
        }
        Ok(())
    }

    #[inline]
    fn write_risk(&mut self, risk: f64) -> PyResult<()> {
        let steps = rounded(risk * RISK_STEPS);
        if !(0.0..=RISK_STEPS).contains(&steps) || steps / RISK_STEPS != risk {
            return Err(unusual());
        }
        self.out.extend_from_slice(b",\"risk\":");
        write_decimal::<6>(&mut self.out, steps as u64);
        Ok(())
    }

    /// Writes the strongest contributions, by the keys of `scoring.reasons.StrongestReasons`: the least come first.
    #[inline]
    fn write_reasons(&mut self, contributions: &[f64]) -> PyResult<()> {
        self.keys.clear();
        for (j, contribution) in contributions.iter().enumerate() {
            let steps = rounded((contribution * LOG_ODDS_STEPS).abs());
            if steps.is_nan() || steps >= MOST_LOG_ODDS_STEPS {
                return Err(unusual());
            }
            let rest = 2 * j as i64 + i64::from(contribution.is_sign_negative());
            self.keys.push(rest - ((steps as i64) << self.key_bits));
        }
        self.out.push(b'[');
        let mut key = i64::MIN;
        for n in 0..self.reason_count.min(self.keys.len()) {
            // Without branches that depend on the data, this is faster than sorting.
            let later = self.keys.iter().map(|each| if *each > key { *each } else { i64::MAX });
            key = later.min().unwrap_or(i64::MAX);
            let rest = key & ((1 << self.key_bits) - 1);
            if n > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&self.reasons[(rest >> 1) as usize]);
            if rest & 1 == 1 {
                self.out.push(b'-');
            }
            write_decimal::<3>(&mut self.out, ((rest - key) >> self.key_bits) as u64);
            self.out.push(b'}');
        }
        self.out.push(b']');
        Ok(())
    }
}

/// Writes an interval, rounded outwards; returns whether there is one.
#[inline]
fn write_interval(out: &mut Vec<u8>, low: f64, high: f64) -> PyResult<bool> {
    if low.is_nan() {
        return Ok(false);
    }
    let (low, high) = (low * INTERVAL_STEPS, high * INTERVAL_STEPS);
    if !(low >= 0.0 && low <= high && high <= INTERVAL_STEPS) {
        return Err(unusual());
    }
    out.push(b'[');
    write_decimal::<4>(out, low as u64);
    out.push(b',');
    let below = high as u64;
    write_decimal::<4>(out, below + u64::from((below as f64) < high));
    out.push(b']');
    Ok(true)
}

/// Writes sources; most have the topic and partition of the one before.
#[derive(Default)]
struct Sources {
    topic: usize,
    partition: usize,
    /// The JSON of a source up to its offset.
    start: Vec<u8>,
}

impl Sources {
    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = source.py();
        if source.is_none() {
            out.extend_from_slice(NULL);
            return Ok(());
        }
        let (topic, partition) = (source.getattr(intern!(py, "topic"))?, source.getattr(intern!(py, "partition"))?);
        let (topic_id, partition_id) = (topic.as_ptr() as usize, partition.as_ptr() as usize);
        // The objects live as long as the list of sources: the same address is the same object.
        if (topic_id, partition_id) != (self.topic, self.partition) {
            self.start.clear();
            self.start.extend_from_slice(b"{\"topic\":");
            write_string(&mut self.start, topic.cast::<PyString>()?.to_str()?);
            self.start.extend_from_slice(b",\"partition\":");
            write_integer(&mut self.start, partition.extract()?);
            self.start.extend_from_slice(b",\"offset\":");
            (self.topic, self.partition) = (topic_id, partition_id);
        }
        out.extend_from_slice(&self.start);
        write_integer(out, source.getattr(intern!(py, "offset"))?.extract()?);
        out.push(b'}');
        Ok(())
    }
}
