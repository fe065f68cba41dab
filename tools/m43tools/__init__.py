"""Applications of m43proto: they parse arguments, call, and print."""
