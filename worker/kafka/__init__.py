"""Faust on librdkafka, one batch of records at a time. The only package that extends Faust's internals.

A Faust message is a `Bundle` of `RecordBatch`es, so Faust's overhead is paid once per bundle. Faust's own
acknowledgements are off: only the `Ledger` decides what may be committed. See docs/design/stream-engine.md.
"""
