"""Pages of docs/ that are made from the code, and the site that holds all of them."""
