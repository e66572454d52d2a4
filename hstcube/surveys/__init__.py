"""What surveys call their files, and what is known of them."""
