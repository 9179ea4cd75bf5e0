"""Costs of a masked layer in its dense and in its sparse form, and the choice between them."""
