"""Imports fitted scikit-learn pipelines of other people as model directories: start at `importer.import_model`.

Their pickles are opened only in a separate process (`isolated`), which `sandbox` starts.
"""
