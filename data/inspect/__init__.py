"""What a data set holds, and that it can be read: `python -m data.inspect`."""
