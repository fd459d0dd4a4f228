//! Patient records: parsed and validated as the worker does.
use crate::model::OPTIONAL;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

const MAX_BYTES: usize = 65_536;
const MAX_ID_CHARS: usize = 128;
const LOW: [f64; 13] = [18., 0., 1., 50., 40., 0., 0., 40., 0., -5., 1., 0., 3.];
const HIGH: [f64; 13] = [110., 1., 4., 300., 1000., 1., 2., 250., 1., 10., 3., 3., 7.];
const ZERO_IS_MISSING: [bool; 13] =
    [false, false, false, true, true, false, false, true, false, false, false, false, false];
const MINUS_NINE: f64 = -9.0;
const OLDPEAK: usize = 9;
const THAL: usize = 12;

pub struct Record<'a> {
    pub patient_id: Cow<'a, str>,
    /// In the order of the feature table, NaN where missing.
    pub values: [f64; 13],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    patient_id: Cow<'a, str>,
    #[serde(deserialize_with = "number")]
    age: f64,
    #[serde(deserialize_with = "number")]
    sex: f64,
    #[serde(deserialize_with = "number")]
    cp: f64,
    #[serde(deserialize_with = "number")]
    trestbps: f64,
    #[serde(deserialize_with = "number")]
    chol: f64,
    #[serde(deserialize_with = "number")]
    fbs: f64,
    #[serde(deserialize_with = "number")]
    restecg: f64,
    #[serde(deserialize_with = "number")]
    thalach: f64,
    #[serde(deserialize_with = "number")]
    exang: f64,
    #[serde(deserialize_with = "number")]
    oldpeak: f64,
    #[serde(deserialize_with = "number")]
    slope: f64,
    #[serde(deserialize_with = "number")]
    ca: f64,
    #[serde(deserialize_with = "number")]
    thal: f64,
    #[serde(default, rename = "coding", deserialize_with = "uci")]
    _coding: (),
}

/// A number or null. With a function of its own a field is required: serde takes a missing `Option` for null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn uci<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    let coding = Cow::<str>::deserialize(deserializer)?;
    if coding == "uci" { Ok(()) } else { Err(D::Error::custom("unsupported coding")) }
}

impl<'a> Record<'a> {
    /// Return the record in a message's value; None if it is not valid.
    pub fn read(value: &'a [u8]) -> Option<Record<'a>> {
        if value.len() > MAX_BYTES {
            return None;
        }
        let w: Wire = sonic_rs::from_slice(value).ok()?;
        let id = &w.patient_id;
        if id.is_empty() || (id.len() > MAX_ID_CHARS && id.chars().count() > MAX_ID_CHARS) {
            return None;
        }
        let mut values = [
            w.age, w.sex, w.cp, w.trestbps, w.chol, w.fbs, w.restecg, w.thalach, w.exang, w.oldpeak, w.slope, w.ca,
            w.thal,
        ];
        validate(&mut values).then_some(Record { patient_id: w.patient_id, values })
    }
}

/// Replace what stands for a missing value by NaN, and return whether all values are valid.
#[inline]
fn validate(values: &mut [f64; 13]) -> bool {
    let mut valid = true;
    for j in 0..13 {
        let x = values[j];
        let missing = (x == MINUS_NINE && j >= OPTIONAL) || (x == 0.0 && ZERO_IS_MISSING[j]);
        let x = if missing { f64::NAN } else { x };
        values[j] = x;
        let fits = x >= LOW[j] && x <= HIGH[j] && (j == OLDPEAK || x == x.floor());
        valid &= fits | (x.is_nan() & (j >= OPTIONAL));
    }
    let thal = values[THAL];
    valid & !(thal > 3.0 && thal < 6.0)
}
