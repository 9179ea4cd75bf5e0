"""The steps of ``import_forward``, one concern a file."""
