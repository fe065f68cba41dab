"""The conformance suite: clauses of the specification, cases that judge them, verdicts and reports."""
