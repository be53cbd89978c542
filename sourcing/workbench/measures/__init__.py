"""Gold documents, and how aspects and captions are measured on them."""
