"""The continual loop as data: which graphs a driver calls, with which feeds, and when."""
