"""The bulk decoder: regular traffic as columns, decoded by whole arrays; everything else by the incremental engine.

The law of this room: what is decoded here must be certain. A stretch that shows anything but whole transactions of
shapes that are known goes, change by change, to `m43proto.Connection`, which remains the reference; it is taken back
at the first moment at which nothing is open there. So equality with the reference rests on few preconditions, each of
which is checked, and the tests hold it event for event.
"""
