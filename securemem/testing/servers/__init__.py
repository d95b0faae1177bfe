"""Servers for tests and benchmarks: found, started, killed and removed by whoever needs one.

    with PostgresServer() as server:
        url = server.create_database()

None outlives the process that started it, nor do its files.
"""

from securemem.testing.servers.binaries import (
    Program,
    ServerMissingError,
    pgbouncer_program,
    postgres_program,
    redis_program,
)
from securemem.testing.servers.cluster import ClusterNode, RedisCluster
from securemem.testing.servers.disk import SmallDisk
from securemem.testing.servers.home import Account, unprivileged
from securemem.testing.servers.pgbouncer import PgBouncer
from securemem.testing.servers.postgres import PostgresServer
from securemem.testing.servers.redis import RedisServer
from securemem.testing.servers.replica import PostgresReplica
from securemem.testing.servers.sentinel import RedisSentinel, Sentinel
from securemem.testing.servers.server import Server, ServerFailedError, Tls, wait_until

__all__ = [
    "Account",
    "ClusterNode",
    "PgBouncer",
    "PostgresReplica",
    "PostgresServer",
    "Program",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "Sentinel",
    "Server",
    "ServerFailedError",
    "ServerMissingError",
    "SmallDisk",
    "Tls",
    "pgbouncer_program",
    "postgres_program",
    "redis_program",
    "unprivileged",
    "wait_until",
]
