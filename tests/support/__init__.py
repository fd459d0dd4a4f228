"""What tests of several folders share: brokers, processes, models, records, and the conditions that they wait for."""
