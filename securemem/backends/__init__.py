"""Data stores: one file each, all behind `ports.Backend`, none knowing another."""
