//! A model directory: the manifest, and the numbers of a logistic regression for UCI's built-in feature table.
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

pub const TABLE: &str = "uci-heart-1988/1";
pub const FIELDS: [&str; 13] =
    ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"];
pub const SEX: usize = 1;
pub const CP: usize = 2;
/// The first optional field: it and all that follow may be missing, and are the bits of a missing pattern.
pub const OPTIONAL: usize = 3;
const GROUPS: usize = 4;
const MOST_NEXT: usize = 3;

#[derive(Deserialize)]
struct Manifest {
    feature_table: String,
    model_version: String,
    threshold: f64,
    training_range: HashMap<String, [f64; 2]>,
    models: HashMap<String, Files>,
}

#[derive(Deserialize)]
struct Files {
    plain: String,
}

#[derive(Deserialize)]
struct Plain {
    plan: Plan,
    center: Vec<f64>,
    linear: Linear,
    uncertainty: Uncertainty,
}

#[derive(Deserialize)]
struct Plan {
    affine: Vec<usize>,
    mean: Vec<f64>,
    scale: Vec<f64>,
    lookup: Vec<usize>,
    tables: Vec<Vec<Vec<Option<f64>>>>,
}

#[derive(Deserialize)]
struct Linear {
    intercepts: Vec<f64>,
    coefficients: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Uncertainty {
    reach: Vec<Vec<[f64; 2]>>,
    sampling_reach: Vec<Vec<[f64; 2]>>,
    distance: Vec<f64>,
    label_limits: Vec<Vec<[Option<f64>; 2]>>,
}

/// A field whose contribution is (value * slope + offset) * weight.
pub struct Affine {
    pub field: usize,
    pub slope: f64,
    pub offset: f64,
    pub weight: f64,
}

/// A field whose code picks its contribution; the last is that of a missing value.
pub struct Lookup {
    pub field: usize,
    pub adds: Vec<f64>,
}

pub struct Model {
    pub threshold: f64,
    pub intercept: f64,
    pub affine: Vec<Affine>,
    pub lookup: Vec<Lookup>,
    pub lowest: [f64; 13],
    pub highest: [f64; 13],
    /// By cell: missing pattern * groups + group.
    pub reach: Vec<[f64; 2]>,
    pub sampling_reach: Vec<[f64; 2]>,
    pub label_limits: Vec<[Option<f64>; 2]>,
    distance: Vec<f64>,
    identity: String,
}

impl Model {
    /// Read a model; ends the process with one line if it is none of these.
    pub fn load(folder: &Path, name: &str) -> Model {
        let raw = read(&folder.join("manifest.json"));
        let manifest: Manifest = parsed(&raw, "manifest.json");
        let files = manifest.models.get(name).unwrap_or_else(|| fail(&format!("no model {name}")));
        let plain: Plain = parsed(&read(&folder.join(&files.plain)), &files.plain);
        if manifest.feature_table != TABLE || plain.linear.intercepts.len() != 1 {
            fail(&format!("only a logistic regression for the feature table {TABLE} is served"));
        }
        let digest: String = Sha256::digest(&raw).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let range = |side: usize| FIELDS.map(|field| manifest.training_range[field][side]);
        let tables = plain.uncertainty;
        Model {
            threshold: manifest.threshold,
            intercept: plain.linear.intercepts[0],
            affine: affine(&plain.plan, &plain.center, &plain.linear.coefficients[0]),
            lookup: lookup(&plain.plan, &plain.center, &plain.linear.coefficients[0]),
            lowest: range(0),
            highest: range(1),
            reach: tables.reach.concat(),
            sampling_reach: tables.sampling_reach.concat(),
            label_limits: tables.label_limits.concat(),
            distance: tables.distance,
            identity: format!(r#"{{"name":"{name}","version":"{}","digest":"{digest}"}}"#, manifest.model_version),
        }
    }

    pub fn cell(pattern: usize, values: &[f64; 13]) -> usize {
        pattern * GROUPS + 2 * values[SEX] as usize + (values[CP] == 4.0) as usize
    }

    /// The part of a score that those with the same missing fields and warnings share, from `threshold` on.
    pub fn metadata(&self, missing: usize, outside: usize) -> Box<[u8]> {
        let outside = (0..13).filter(|field| outside >> field & 1 == 1).map(|field| FIELDS[field]);
        let bits: Vec<usize> = (0..13 - OPTIONAL).filter(|bit| missing >> bit & 1 == 1).collect();
        let mut next = bits.clone();
        next.sort_by(|a, b| self.distance[missing & !(1 << a)].total_cmp(&self.distance[missing & !(1 << b)]));
        next.truncate(MOST_NEXT);
        let named = |bits: &[usize]| bits.iter().map(|bit| FIELDS[OPTIONAL + bit]).collect::<Vec<_>>();
        let warning = |code: &str, field: &str| format!(r#"{{"code":"{code}","field":"{field}"}}"#);
        let imputed = named(&bits).into_iter().map(|field| warning("imputed", field));
        let warnings: Vec<String> =
            imputed.chain(outside.map(|field| warning("out_of_training_range", field))).collect();
        let quoted = |names: Vec<&str>| names.iter().map(|name| format!(r#""{name}""#)).collect::<Vec<_>>().join(",");
        format!(
            r#","threshold":{:?},"model":{},"pattern":null,"missing":[{}],"warnings":[{}],"measure_next":[{}]"#,
            self.threshold,
            self.identity,
            quoted(named(&bits)),
            warnings.join(","),
            quoted(named(&next)),
        )
        .into_bytes()
        .into_boxed_slice()
    }
}

fn affine(plan: &Plan, center: &[f64], coefficients: &[f64]) -> Vec<Affine> {
    let columns = plan.affine.iter().enumerate();
    columns
        .map(|(j, &field)| Affine {
            field,
            slope: 1.0 / plan.scale[j],
            offset: -plan.mean[j] / plan.scale[j] - center[j],
            weight: coefficients[j],
        })
        .collect()
}

fn lookup(plan: &Plan, center: &[f64], coefficients: &[f64]) -> Vec<Lookup> {
    let mut first = plan.affine.len();
    let mut found = Vec::new();
    for (&field, table) in plan.lookup.iter().zip(&plan.tables) {
        let weighed = |row: &Vec<Option<f64>>| -> f64 {
            let columns = row.iter().enumerate();
            let mut parts = columns.map(|(k, x)| x.map_or(0.0, |x| (x - center[first + k]) * coefficients[first + k]));
            // In numpy's order: the first, and the sum of the others.
            parts.next().unwrap() + parts.reduce(|a, b| a + b).unwrap_or(0.0)
        };
        found.push(Lookup { field, adds: table.iter().map(weighed).collect() });
        first += table[0].len();
    }
    found
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())))
}

fn parsed<'a, T: Deserialize<'a>>(raw: &'a [u8], name: &str) -> T {
    sonic_rs::from_slice(raw).unwrap_or_else(|_| fail(&format!("{name} is not that of a logistic regression")))
}

pub fn fail(reason: &str) -> ! {
    eprintln!("heartstream-peer: {reason}");
    std::process::exit(1)
}
