"""The dialects of the printer: readable NumPy, fast NumPy, numba, and NumPy with loops compiled by numba."""
