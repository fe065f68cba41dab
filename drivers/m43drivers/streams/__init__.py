"""Byte streams to a bridge, over a serial port or a TCP connection; they never freeze the event loop.

On POSIX one small stream over the file descriptor serves both (`descriptor`). Elsewhere event loops do not watch serial
ports, and threads do it (`threaded`); nobody has tried that on Windows, only on POSIX.
"""
