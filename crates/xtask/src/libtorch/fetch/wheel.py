"""The network and zip half of `cargo xtask setup`; the Rust half decides what and where.

    wheel.py fetch URL PART SIZE    continue PART from URL; prints "DONE TOTAL" lines, then "sha256 HEX"
    wheel.py unpack WHEEL DEST      copies the members named on stdin ("MEMBER-OR-PREFIX/<TAB>TARGET")

Python's standard library only: whoever has pip has this, and xtask needs no TLS stack of its own.
Exit codes: 0 done, 3 refused by the server (another way of asking may work), 1 anything else.
"""

import fcntl
import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

CHUNK = 1 << 20
ATTEMPTS = 5
REFUSED = 3


def pip_setting(name):
    """pip's own configuration may name a certificate bundle or a proxy that Python does not know."""
    command = [sys.executable, "-m", "pip", "config", "get", "global." + name]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def opener():
    bundle = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE") or pip_setting("cert")
    context = ssl.create_default_context(cafile=bundle if bundle and os.path.isfile(bundle) else None)
    handlers = [urllib.request.HTTPSHandler(context=context)]
    proxy = os.environ.get("PIP_PROXY") or pip_setting("proxy")
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return urllib.request.build_opener(*handlers)


def continue_part(client, url, out, size):
    """One request: appends to OUT from where it stands, or starts again if the server sends all of it."""
    have = out.seek(0, os.SEEK_END)
    if have == size:
        return
    if have > size:
        have = 0
    request = urllib.request.Request(url, headers={"Range": "bytes=%d-" % have} if have else {})
    with client.open(request, timeout=60) as answer:
        if getattr(answer, "status", None) != 206:
            have = 0
        out.truncate(have)
        out.seek(have)
        told = 0.0
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            have += len(chunk)
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
                print(have, size, flush=True)
    if have != size:
        raise OSError("the connection ended after %d of %d bytes" % (have, size))


def fetch(url, part, size):
    with open(part, "a+b") as out:
        # An earlier downloader that outlived its xtask may still be writing here.
        fcntl.flock(out, fcntl.LOCK_EX)
        code = with_attempts(url, out, size)
        if code == 0:
            print("sha256", sha256(out), flush=True)
        return code


def with_attempts(url, out, size):
    client = opener()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            continue_part(client, url, out, size)
            return 0
        except BrokenPipeError:
            raise  # xtask is gone: stop too
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                print("HTTP %d" % error.code, file=sys.stderr)
                return REFUSED
            failure = error
        except (OSError, http.client.HTTPException) as error:
            failure = error
        if attempt < ATTEMPTS:
            time.sleep(2**attempt)
    print(failure, file=sys.stderr)
    return 1


def sha256(out):
    out.flush()
    out.seek(0)
    digest = hashlib.sha256()
    while chunk := out.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def target_of(member, wanted):
    for source, target in wanted:
        if member == source:
            return target
        if source.endswith("/") and member.startswith(source):
            return target + member[len(source) :]
    return None


def unpack(wheel, dest):
    wanted = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
    found = set()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = target_of(member.filename, wanted)
            if target is None or member.is_dir() or ".." in member.filename.split("/"):
                continue
            path = os.path.join(dest, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with archive.open(member) as source, open(path, "wb") as out:
                shutil.copyfileobj(source, out, CHUNK)
            found.update(source for source, _ in wanted if member.filename.startswith(source))
    missing = [source for source, _ in wanted if source not in found]
    if missing:
        print("the wheel lacks " + ", ".join(missing), file=sys.stderr)
        return 1
    return 0


def main(arguments):
    if len(arguments) == 4 and arguments[0] == "fetch":
        return fetch(arguments[1], arguments[2], int(arguments[3]))
    if len(arguments) == 3 and arguments[0] == "unpack":
        return unpack(arguments[1], arguments[2])
    print(__doc__, file=sys.stderr)
    return 2


sys.exit(main(sys.argv[1:]))
