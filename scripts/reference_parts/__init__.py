"""What scripts/reference is made of: pages of the documentation that come from the code."""
