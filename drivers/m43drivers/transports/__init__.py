"""The transports: simulated, recorded, over a faulty link, and over a bridge."""
