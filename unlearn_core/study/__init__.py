"""Many choices: runs, sweeps and their results, comparisons, searches, tuning."""
