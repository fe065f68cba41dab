"""What other programs take from the tables: decoders for sigrok and Logic 2, a dissector for Wireshark, and C."""
