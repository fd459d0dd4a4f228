//! Reads patient records and writes scores, a batch in one call: the same numbers and bytes as the Python code, or none.
//!
//! Its only callers are `scoring/native_decoder.py` and `scoring/native_encoder.py`; `scoring/extension.py` says what it
//! is for, and how its results are verified.
#![forbid(unsafe_code)]

mod decoder;
mod encoder;
mod json;

use pyo3::prelude::*;

#[pymodule]
fn heartstream_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<decoder::Decoder>()?;
    module.add_class::<encoder::Encoder>()
}
