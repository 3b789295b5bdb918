"""Checks a Zeuge log from outside: verify_log.py FOLDER-OR-URL VKEY

Shares no code with Zeuge: Python's standard library only, Ed25519 included (RFC 8032).
Reads /checkpoint and /tile/entries/..., recomputes the root from the entries, compares it with
the signed checkpoint and with the hash tiles, and checks each *.receipt file of a folder.
Prints what held; exits 1 at the first thing that does not.
"""
import base64, glob, hashlib, os, sys, urllib.request

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def demand(holds, what):
    if not holds:
        sys.exit("REFUSED: " + what)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def point(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    demand(y < P, "point of the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    demand((x * x - square) % P == 0 and not (x == 0 and sign), "point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(key, message, signature):
    demand(len(signature) == 64, "signature length")
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = times(s, BASE), add(point(signature[:32]), times(k, point(key)))
    same = all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))
    return s < L and same


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root(hashes):
    if len(hashes) < 2:
        return hashes[0] if hashes else sha()
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\1", root(hashes[:k]), root(hashes[k:]))


def open_checkpoint(note, vkey):
    """Origin, size and root of a note that the log's key signed."""
    name, key_id, key = vkey.split("+", 2)
    key = base64.b64decode(key, validate=True)
    want = sha(name.encode(), b"\n", key)[:4]
    demand(key[0] == 1 and len(key) == 33 and key_id == want.hex(), "verifier key")
    text, lines = note.rsplit(b"\n\n", 1)
    text += b"\n"
    mine = [base64.b64decode(line.split(b" ")[2], validate=True)
            for line in lines.splitlines() if line.split(b" ")[1] == name.encode()]
    mine = [signature[4:] for signature in mine if signature[:4] == want]
    demand(mine and all(ed25519(key[1:], text, s) for s in mine), "signature of the checkpoint")
    origin, size, top = text.decode().split("\n")[:3]
    demand(origin == name, "origin of the checkpoint")
    return int(size), base64.b64decode(top, validate=True)


def tile_path(row, index, width):
    groups = ["%03d" % (index % 1000)]
    while index >= 1000:
        index //= 1000
        groups.insert(0, "x%03d" % (index % 1000))
    return "tile/%s/%s%s" % (row, "/".join(groups), ".p/%d" % width if width < 256 else "")


def read(where, path):
    if "://" in where:
        return urllib.request.urlopen(where.rstrip("/") + "/" + path).read()
    with open(os.path.join(where, path), "rb") as file:
        return file.read()


def tiles(where, row, count):
    for index in range((count + 255) // 256):
        width = min(256, count - 256 * index)
        yield width, read(where, tile_path(row, index, width))


def entries(where, size):
    for width, bundle in tiles(where, "entries", size):
        at = 0
        for _ in range(width):
            length = int.from_bytes(bundle[at:at + 2], "big")
            yield bundle[at + 2:at + 2 + length]
            at += 2 + length
        demand(at == len(bundle), "length of an entry bundle")


def check_receipt(text, vkey, leaves):
    """A receipt is a C2SP tlog-proof whose extra line is the entry."""
    head, note = text.split(b"\n\n", 1)
    lines = head.decode().split("\n")
    demand(lines[0] == "c2sp.org/tlog-proof@v1", "receipt header")
    demand(lines[1].startswith("extra ") and lines[2].startswith("index "), "receipt lines")
    size, top = open_checkpoint(note, vkey)
    demand(size <= len(leaves) and root(leaves[:size]) == top, "receipt's checkpoint is this log's")
    leaf, index = sha(b"\0", base64.b64decode(lines[1][6:], validate=True)), int(lines[2][6:])
    demand(index < size and leaves[index] == leaf, "receipt's entry is in the log")
    node, last, value = index, size - 1, leaf
    for line in lines[3:]:
        beside = base64.b64decode(line, validate=True)
        demand(last != 0, "length of the inclusion path")
        if node & 1 or node == last:
            value = sha(b"\1", beside, value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = sha(b"\1", value, beside)
        node, last = node >> 1, last >> 1
    demand(last == 0 and value == top, "inclusion path")


def main(where, vkey):
    size, top = open_checkpoint(read(where, "checkpoint"), vkey)
    leaves = [sha(b"\0", entry) for entry in entries(where, size)]
    demand(root(leaves) == top, "root of the entries is the checkpoint's")
    level, row = 0, leaves
    while row:
        stored = b"".join(octets for _, octets in tiles(where, str(level), len(row)))
        demand(stored == b"".join(row), "hash tiles of level %d" % level)
        row = [root(row[i:i + 256]) for i in range(0, len(row) - 255, 256)]
        level += 1
    receipts = [] if "://" in where else sorted(glob.glob(os.path.join(where, "*.receipt")))
    for path in receipts:
        with open(path, "rb") as file:
            check_receipt(file.read(), vkey, leaves)
    print("holds: %d entries, root %s, %d receipts" % (size, top.hex(), len(receipts)))


if __name__ == "__main__":
    demand(len(sys.argv) == 3, "usage: verify_log.py FOLDER-OR-URL VKEY")
    main(sys.argv[1], sys.argv[2])
