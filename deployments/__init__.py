"""Place and time: where flows run, on which server, and when."""
