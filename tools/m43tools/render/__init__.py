"""Events -> what a person or a program reads; the only room that formats."""
