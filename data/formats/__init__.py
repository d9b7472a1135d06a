"""How others, and we, store records: read without what wrote them."""
