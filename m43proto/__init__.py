"""Open Micro Four Thirds lens-mount protocol (front door filled in below)."""
