"""The benchmark, a file for each of its sections or two."""
