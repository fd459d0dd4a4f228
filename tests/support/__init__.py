"""What tests of several folders share: brokers, processes, models, records, and waiting for conditions."""
