"""Redis and Valkey as we call them: one server, a cluster's nodes, or what sentinels say is the primary."""

from securemem.redis.address import Place, place_of_client, place_of_url
from securemem.redis.limits import Limits
from securemem.redis.node import Command, Node, Script
from securemem.redis.server import RedisServer

__all__ = [
    "Command",
    "Limits",
    "Node",
    "Place",
    "RedisServer",
    "Script",
    "place_of_client",
    "place_of_url",
]
