"""What runs on the device: the schedule, the data plumbing and the state. No compiler in here."""
