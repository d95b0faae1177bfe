"""Checks a receipt of erasure offline: `python verify_receipt.py RECEIPT.json KEY.pem`. It needs `cryptography` alone.

The DSSE signature has to hold (Ed25519), over just what the receipt says. Where it proves that the erasure is in the
audit, the event's hash is worked out anew and has to lead to the tree's head (RFC 9162), which the signature covers.
"""

import base64
import hashlib
import json
import struct
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key

KIND = "application/vnd.securemem.receipt+json"


def sha256(data):
    return hashlib.sha256(data).digest()


def hash_of(event, before):
    names = ("tenant", "person", "actor", "policy", "session", "rule")
    *first, session, rule = (bytes.fromhex(event.get(name, "")) for name in names)
    parts = [b"securemem/audit/1", before, event["kind"].encode(), *first, struct.pack(">Q", event["at"])]
    if event.keys() & {"session", "rule", "records"}:
        parts[0] = b"securemem/audit/2"
        parts += [session, rule, struct.pack(">Q", event.get("records", 0))]
    return sha256(struct.pack(">I", len(parts)) + b"".join(struct.pack(">I", len(each)) + each for each in parts))


def head_of(leaf, place, size, path):
    head, last = sha256(b"\0" + leaf), size - 1
    for other in map(bytes.fromhex, path):
        if last == 0:
            return None
        if place & 1 or place == last:
            head = sha256(b"\1" + other + head)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            head = sha256(b"\1" + head + other)
        place, last = place >> 1, last >> 1
    return head if last == 0 else None


with open(sys.argv[1], encoding="utf-8") as receipt_file, open(sys.argv[2], "rb") as key_file:
    document, key = json.load(receipt_file), load_pem_public_key(key_file.read())
payload = base64.b64decode(document["dsse"]["payload"])
signed = b"DSSEv1 %d %s %d %s" % (len(KIND), KIND.encode(), len(payload), payload)
key.verify(base64.b64decode(document["dsse"]["signatures"][0]["sig"]), signed)  # raises InvalidSignature
receipt = json.loads(payload)
if document["dsse"]["payloadType"] != KIND or receipt != document["receipt"]:
    sys.exit("the receipt was altered: what it says is not what was signed")
if audit := receipt.get("audit"):
    named, entry = audit["event"], hash_of(audit["event"], bytes.fromhex(audit["before"]))
    of_them = (named["tenant"], named.get("person", "")) == (receipt["tenant"], receipt["handle"])
    if not of_them or head_of(entry, audit["number"] - 1, audit["size"], audit["path"]) != bytes.fromhex(audit["root"]):
        sys.exit("the audited event is about somebody else, or not in the tree that the receipt names")
print(json.dumps(receipt, indent=2))
