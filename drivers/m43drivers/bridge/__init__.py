"""The bridge: a microcontroller between a host and the contacts of the mount (specs/11-bridge-link.md)."""
