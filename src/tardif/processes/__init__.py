"""Several processes that work together: started, shown and ended by the one that needs them."""
