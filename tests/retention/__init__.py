"""What a policy does with time: what readers, workers, keeps and holds make of it."""
