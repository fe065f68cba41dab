"""A capture -> a picture: motion over time, and the lines with their bytes in a window of time."""
