"""What other programs take from the tables."""
