"""The cases, a file per chapter of the specification."""
