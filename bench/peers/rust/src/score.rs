//! Scores one record at a time, and writes the bytes that the worker writes.
use crate::model::{FIELDS, Model, OPTIONAL};
use crate::record::Record;
use std::collections::HashMap;

const REASONS: usize = 3;
const REMEMBERED: usize = 4096;

pub struct Scorer {
    model: Model,
    /// Interval, label set and reasons as well, or the risk alone.
    all: bool,
    metadata: Vec<Option<Box<[u8]>>>,
    rare_metadata: HashMap<(usize, usize), Box<[u8]>>,
    /// The JSON of each contribution as far as its number.
    reasons: Vec<Vec<u8>>,
}

struct Found {
    risk: f64,
    log_odds: f64,
    contributions: [f64; 13],
}

impl Scorer {
    pub fn new(model: Model, all: bool) -> Scorer {
        let fields = model.affine.iter().map(|each| each.field).chain(model.lookup.iter().map(|each| each.field));
        let reasons = fields.map(|j| format!(r#"{{"field":"{}","log_odds":"#, FIELDS[j]).into_bytes()).collect();
        let metadata = (0..1 << (13 - OPTIONAL)).map(|_| None).collect();
        Scorer { model, all, metadata, rare_metadata: HashMap::new(), reasons }
    }

    /// Append the score of a record to `out`; false if the record is not valid.
    pub fn score(&mut self, value: &[u8], topic: &str, partition: i32, offset: i64, out: &mut Vec<u8>) -> bool {
        let Some(record) = Record::read(value) else { return false };
        let values = &record.values;
        let found = explain(&self.model, values);
        let (mut pattern, mut outside) = (0, 0);
        for j in 0..13 {
            outside |= ((values[j] < self.model.lowest[j] || values[j] > self.model.highest[j]) as usize) << j;
            if j >= OPTIONAL {
                pattern |= (values[j].is_nan() as usize) << (j - OPTIONAL);
            }
        }
        let millionths = (found.risk * 1e6).round_ties_even();
        let risk = millionths / 1e6;
        out.extend_from_slice(b"{\"patient_id\":");
        write_string(out, &record.patient_id);
        out.extend_from_slice(b",\"risk\":");
        write_fraction::<6>(out, millionths as u64);
        out.extend_from_slice(if risk >= self.model.threshold { b",\"label\":1" } else { b",\"label\":0" });
        out.extend_from_slice(self.metadata(pattern, outside));
        if self.all {
            self.write_details(out, risk, &found, pattern, Model::cell(pattern, values));
        }
        out.extend_from_slice(b",\"source\":{\"topic\":");
        write_string(out, topic);
        out.extend_from_slice(b",\"partition\":");
        write_integer(out, partition as u64);
        out.extend_from_slice(b",\"offset\":");
        write_integer(out, offset as u64);
        out.extend_from_slice(b"}}");
        true
    }

    fn metadata(&mut self, pattern: usize, outside: usize) -> &[u8] {
        let model = &self.model;
        if outside == 0 {
            return self.metadata[pattern].get_or_insert_with(|| model.metadata(pattern, 0));
        }
        if self.rare_metadata.len() >= REMEMBERED {
            self.rare_metadata.clear();
        }
        self.rare_metadata.entry((pattern, outside)).or_insert_with(|| model.metadata(pattern, outside))
    }

    fn write_details(&self, out: &mut Vec<u8>, risk: f64, found: &Found, pattern: usize, cell: usize) {
        out.extend_from_slice(b",\"interval\":[");
        write_interval(out, found.log_odds, self.model.reach[cell]);
        if pattern != 0 {
            out.extend_from_slice(b",\"sampling_interval\":[");
            write_interval(out, found.log_odds, self.model.sampling_reach[cell]);
        }
        out.extend_from_slice(match self.model.label_limits[cell] {
            [Some(low), Some(high)] => match (risk <= low, risk >= high) {
                (true, false) => b",\"label_set\":[0],\"reasons\":[",
                (false, true) => b",\"label_set\":[1],\"reasons\":[",
                _ => b",\"label_set\":[0,1],\"reasons\":[",
            },
            _ => b",\"label_set\":null,\"reasons\":[",
        });
        self.write_reasons(out, &found.contributions);
        out.push(b']');
    }

    /// The strongest first; equally strong ones in the order of the contributions, what raises the risk first.
    fn write_reasons(&self, out: &mut Vec<u8>, contributions: &[f64; 13]) {
        let mut keys = [0i64; 13];
        for (j, contribution) in contributions.iter().enumerate() {
            let steps = (contribution * 1e3).round_ties_even();
            keys[j] = -32 * steps.abs() as i64 + 2 * j as i64 + steps.is_sign_negative() as i64;
        }
        for n in 0..REASONS {
            for j in n + 1..13 {
                if keys[j] < keys[n] {
                    keys.swap(n, j);
                }
            }
            let rest = keys[n].rem_euclid(32);
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&self.reasons[rest as usize / 2]);
            if rest & 1 == 1 {
                out.push(b'-');
            }
            write_fraction::<3>(out, ((rest - keys[n]) / 32) as u64);
            out.push(b'}');
        }
    }
}

#[inline]
fn logistic(x: f64) -> f64 {
    let small = (-x.abs()).exp();
    (if x >= 0.0 { 1.0 } else { small }) / (1.0 + small)
}

#[inline]
fn explain(model: &Model, values: &[f64; 13]) -> Found {
    let mut c = [0.0; 13];
    for (j, each) in model.affine.iter().enumerate() {
        let x = values[each.field] * each.slope + each.offset;
        c[j] = if x.is_nan() { 0.0 } else { x * each.weight };
    }
    for (k, each) in model.lookup.iter().enumerate() {
        let x = values[each.field];
        c[model.affine.len() + k] = each.adds[if x.is_nan() { each.adds.len() - 1 } else { x as usize }];
    }
    // In numpy's order: eight sums side by side, then the rest.
    let sum = ((c[0] + c[1]) + (c[2] + c[3])) + ((c[4] + c[5]) + (c[6] + c[7]));
    let log_odds = model.intercept + (sum + c[8] + c[9] + c[10] + c[11] + c[12]);
    Found { risk: logistic(log_odds), log_odds, contributions: c }
}

/// Write an interval outwards to four decimals, and its end.
fn write_interval(out: &mut Vec<u8>, log_odds: f64, reach: [f64; 2]) {
    write_fraction::<4>(out, (logistic(log_odds - reach[0]) * 1e4).floor() as u64);
    out.push(b',');
    write_fraction::<4>(out, (logistic(log_odds + reach[1]) * 1e4).ceil() as u64);
    out.push(b']');
}

/// Write n / 10^DECIMALS in the shortest form, as msgspec does.
#[inline]
fn write_fraction<const DECIMALS: usize>(out: &mut Vec<u8>, n: u64) {
    let (whole, mut rest) = (n / 10u64.pow(DECIMALS as u32), n % 10u64.pow(DECIMALS as u32));
    if DECIMALS == 6 && whole == 0 && rest != 0 && rest < 10 {
        // msgspec writes exponents below 1e-5.
        out.push(b'0' + rest as u8);
        return out.extend_from_slice(b"e-6");
    }
    write_integer(out, whole);
    out.push(b'.');
    let mut digits = [b'0'; DECIMALS];
    let mut end = 1;
    for place in (0..DECIMALS).rev() {
        digits[place] = b'0' + (rest % 10) as u8;
        if end == 1 && rest % 10 != 0 {
            end = place + 1;
        }
        rest /= 10;
    }
    out.extend_from_slice(&digits[..end]);
}

#[inline]
fn write_integer(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut place = 20;
    loop {
        place -= 1;
        digits[place] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return out.extend_from_slice(&digits[place..]);
        }
    }
}

#[inline]
fn write_string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 32 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend(sonic_rs::to_string(text).unwrap().bytes());
    }
}
