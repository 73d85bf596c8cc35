"""The command line, a file for each family of commands; `python -m unlearn_core` puts them together."""
