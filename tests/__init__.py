"""The project's tests; they mirror its rooms."""
