"""Everything of m43proto that touches the world: capture files, transports, drivers."""
