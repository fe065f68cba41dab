"""Simulated lenses and bodies: honest small machines behind the protocol, on virtual time."""
