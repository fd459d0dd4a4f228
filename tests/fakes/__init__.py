"""Fakes of other systems: brokers and proxies that misbehave, collectors and servers that record what they are sent."""
