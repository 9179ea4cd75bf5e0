"""The part that runs on the device: the schedule, the data and the state. It needs no compiler."""
