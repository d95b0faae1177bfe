"""What a person may ask for: erasure, and with later versions export, rectification and restriction."""
