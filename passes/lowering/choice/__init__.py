"""What a masked layer costs in its dense and in its sparse form, and which layers take which."""
