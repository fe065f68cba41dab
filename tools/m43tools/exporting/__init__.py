"""What other programs take from the tables: decoders for sigrok and Saleae Logic 2, and C."""
