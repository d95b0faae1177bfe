"""Keys of people and sessions: the keystore holds them wrapped, the keyring issues, caches, rotates and shreds."""
