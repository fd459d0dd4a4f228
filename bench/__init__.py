"""Measurements: the stream beside a bare loop and beside stock Faust, and the scoring core by itself."""
