"""`heartstream verify`: scores stored records again, and compares the scores byte by byte."""
