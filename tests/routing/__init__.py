"""Tenants on several servers, and their moves."""
