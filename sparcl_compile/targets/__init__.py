"""One file a target: its passes in order, as lists that can be read aloud."""
