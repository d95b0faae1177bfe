"""Key-management services: one file each, all behind `ports.KeyManagementService`, none knowing another."""
