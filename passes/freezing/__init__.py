"""Helpers of ``freeze_parameters``: the stages of a network, and what each way of updating trains."""
