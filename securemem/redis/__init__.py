"""Redis and Valkey as we call them: one server, a cluster's nodes, or what sentinels say is the primary."""

from securemem.redis.address import Place, place_of_client, place_of_url
from securemem.redis.node import Node, Script
from securemem.redis.pipe import Command, Pipe
from securemem.redis.server import RedisServer

__all__ = [
    "Command",
    "Node",
    "Pipe",
    "Place",
    "RedisServer",
    "Script",
    "place_of_client",
    "place_of_url",
]
