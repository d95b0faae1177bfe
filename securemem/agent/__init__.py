"""Agents that remember: a model, an instruction, and a memory that several of them may share."""

from securemem.agent.agent import Agent
from securemem.agent.memories import InMemoryMemory, Memory, PostgresMemory, RedisMemory, SQLiteMemory

__all__ = ["Agent", "InMemoryMemory", "Memory", "PostgresMemory", "RedisMemory", "SQLiteMemory"]
