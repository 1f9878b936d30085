"""The guards of uploads: what is taken for a picture, whose it is, where workers go to fetch one. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

UPLOADS, VIEW, SUBMISSION, KINDS, NEEDS, TASKS = (
    "models/uploads.py", "web/uploads.py", "models/jobs/submission.py", "models/kinds.py", "models/jobs/needs.py",
    "tasks/uploads.py",
)  # fmt: skip
PICTURES, PNG, JPEG, GIF, WEBP, PARTS = (
    f"models/pictures/{name}.py" for name in ("__init__", "png", "jpeg", "gif", "webp", "parts")
)
FILES = "web/files.py"
DECODING, DECODER, FETCHING, FETCHED, URLS, STORAGE = (
    "worker/decoding.py", "worker/decoder.py", "worker/fetching.py", "worker/pictures.py", "models/public_urls.py",
    "worker/storage/folder.py",
)  # fmt: skip

OF_UPLOADS = "tests/uploads/test_uploads.py -k sqlite"
OF_LIMITS = "tests/uploads/test_limits.py -k sqlite"
OF_JOBS = "tests/uploads/test_jobs.py -k sqlite"
OF_PICTURES = "tests/uploads/test_pictures.py"
OF_FETCHING = "tests/uploads/test_fetching.py"
OF_PROVIDERS = "tests/uploads/test_providers.py -k 'sqlite or mock'"
OF_URLS = "tests/uploads/test_public_urls.py -k 'not postgresql'"
OF_RACES = "tests/uploads/test_races.py"
OF_STORAGE = "tests/uploads/test_storage.py"

KEPT = [
    Mutant(
        "an upload is its user's", UPLOADS,
        "Upload.id == upload_id, Upload.user_id == user_id, Upload.expires_at > now()\n    upload =",
        "Upload.id == upload_id, Upload.expires_at > now()\n    upload =", OF_UPLOADS,
    ),
    Mutant(
        "only its user deletes an upload", UPLOADS,
        "Upload.id == upload_id, Upload.user_id == user_id, Upload.expires_at > now()\n    # As if",
        "Upload.id == upload_id, Upload.expires_at > now()\n    # As if", OF_UPLOADS,
    ),
    Mutant(
        "a job names an upload of its own user", UPLOADS,
        '        Upload.user_id == bindparam("user_id", type_=Uuid()),\n', "", OF_JOBS,
    ),
    Mutant(
        "a job names an upload that is good", UPLOADS,
        '        Upload.user_id == bindparam("user_id", type_=Uuid()),\n        Upload.expires_at > now(),\n',
        '        Upload.user_id == bindparam("user_id", type_=Uuid()),\n', OF_JOBS,
    ),
    Mutant(
        "…whatever way it is accepted", SUBMISSION,
        "    uploads.require(session, user_id=order.user_id, upload_id=order.upload_id)\n", "", OF_JOBS,
    ),
    Mutant(
        "…and estimated", "web/jobs.py",
        "        uploads.require(session, user_id=order.user_id, upload_id=order.upload_id)\n", "        pass\n",
        OF_JOBS,
    ),
    Mutant(
        "jobs without an upload are not looked at", UPLOADS, "return upload_id is None or _GOOD", "return _GOOD",
        OF_JOBS,
    ),
    Mutant(
        "either an upload or an address", KINDS, '(url is None) == (info.data["upload"] is None)',
        'url is None and info.data["upload"] is None', OF_JOBS,
    ),
    Mutant(
        "uploads have a space", UPLOADS, "    if used + max(size, SMALLEST_FILE) > space:\n", "    if False:\n",
        OF_LIMITS,
    ),
    Mutant("…also for many that come at once", UPLOADS, "    users.lock_open(session, user_id)\n", "", OF_RACES),
    Mutant(
        "tiny uploads count as a file", UPLOADS,
        "case((Upload.size < SMALLEST_FILE, SMALLEST_FILE), else_=Upload.size)",
        "Upload.size", OF_LIMITS,
    ),
    Mutant(
        "what has expired is not renewed", UPLOADS,
        "Upload.sha256 == sha256, Upload.expires_at > now()", "Upload.sha256 == sha256", OF_UPLOADS,
    ),
    Mutant(
        "a closing account brings nothing", "models/users.py",
        "User.closing_at.is_(None)).with_for_update(key_share=True)\n    return",
        "User.id == user_id).with_for_update(key_share=True)\n    return", OF_UPLOADS,
    ),
    Mutant(
        "what an unfinished job names stays", TASKS, "if upload.id not in needed]", "]", OF_JOBS,
    ),
    Mutant("…while it runs", NEEDS, "[Status.running, Status.canceling]", "[Status.canceling]", OF_JOBS),
    Mutant("…while it is being stopped", NEEDS, "[Status.running, Status.canceling]", "[Status.running]", OF_JOBS),
    Mutant(
        "what has just expired stays for a while", UPLOADS, "Upload.expires_at <= now(-GRACE_SECONDS)",
        "Upload.expires_at <= now()", OF_JOBS,
    ),
    Mutant("files that are known stay", TASKS, "= set(keys) - known\n", "= set(keys)\n", OF_JOBS),
    Mutant(
        "new files are nobody's to delete", TASKS, "seconds=ORPHANED_SECONDS)", "seconds=-60)", OF_JOBS,
    ),
    Mutant(
        "a job reads its own user's upload", NEEDS, ".join(Job, Job.user_id == Upload.user_id)",
        ".join(Job, Job.user_id.is_not(None))", OF_PROVIDERS,
    ),
    Mutant("nothing outside the storage is touched", STORAGE, "target == self._root or not ", "not ", OF_STORAGE),
    Mutant("…by no key", STORAGE, " or not target.is_relative_to(self._root):", ":", OF_STORAGE),
]  # fmt: skip

BODIES = [
    Mutant("a body has a limit", VIEW, "        if len(data) > most:\n", "        if False:\n", OF_LIMITS),
    Mutant("a form has few parts", VIEW, "    request.max_form_parts = MOST_PARTS\n", "", OF_UPLOADS),
    Mutant(
        "uploads leave threads for polling", VIEW, "if self._taken.total() >= self._all or ", "if ", OF_LIMITS,
    ),
    Mutant("…whoever they are from", VIEW, " or self._taken[user_id] >= self._of_one:", ":", OF_LIMITS),
    Mutant("a place comes back", VIEW, "                self._taken[user_id] -= 1\n", "", OF_LIMITS),
    Mutant("no browser shows an upload", FILES, '-Disposition", "attachment"', '-Disposition", "inline"', OF_UPLOADS),
]  # fmt: skip

TAKEN_FOR_PICTURES = [
    Mutant(
        "the declared type is the type", PICTURES,
        "if declared is not None and ALSO_CALLED.get(declared, declared) != media_type:", "if False:", OF_PICTURES,
    ),
    Mutant(
        "a picture has so many pixels", PICTURES, "if found.width * found.height > most_pixels or ", "if ",
        OF_PICTURES,
    ),
    Mutant(
        "…on no endless side", PICTURES, " or max(found.width, found.height) > LONGEST_SIDE:", ":", OF_PICTURES,
    ),
    Mutant(
        "a picture is decoded once", DECODING, "        _decode(picture, most_pixels)\n", "        pass\n",
        OF_PICTURES,
    ),
    Mutant(
        "…with only so much memory", DECODER, "        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))\n", "",
        OF_PICTURES,
    ),
    Mutant("…and no secrets", DECODING, "env=_environment(),", "env=None,", OF_PICTURES),
    Mutant("a PNG does not move", PNG, "            raise Animated\n", "            pass\n", OF_PICTURES),
    Mutant("a GIF does not move", GIF, "                raise Animated\n", "                pass\n", OF_PICTURES),
    Mutant(
        "a WebP does not move", WEBP, "        if name in ANIMATION:\n            raise Animated\n", "", OF_PICTURES,
    ),
    Mutant(
        "…nor says that it does", WEBP, "        if header[0] & IS_ANIMATED:\n            raise Animated\n", "",
        OF_PICTURES,
    ),
    Mutant(
        "a JPEG has few scans", JPEG, "            if scans > MOST_SCANS:\n", "            if False:\n", OF_PICTURES,
    ),
    Mutant("files have few parts", PARTS, "MOST_PARTS = 20_000", "MOST_PARTS = 2_000_000", OF_PICTURES),
    Mutant("blocks are not made to take long", GIF, "        if steps < 0:\n", "        if False:\n", OF_PICTURES),
    Mutant(
        "a checksum is right", PNG, '        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):\n',
        "        if False:\n", OF_PICTURES,
    ),
    Mutant(
        "where a JPEG was taken is left out", JPEG, "            orientation = of_exif(segment[8:])\n",
        "            body.append(whole)\n", OF_PICTURES,
    ),
    Mutant(
        "…and what is behind its end", JPEG, '*body, b"\\xff\\xd9"]', '*body, b"\\xff\\xd9" + data[at + 2 :]]',
        OF_PICTURES,
    ),
]  # fmt: skip

FETCHED_FROM_OUTSIDE = [
    Mutant(
        "every address of a name is public", FETCHING, "not all(is_public(place) for place in places)",
        "not any(is_public(place) for place in places)", OF_FETCHING,
    ),
    Mutant(
        "the first address too", FETCHING, "if not places or not all(is_public(place) for place in places):",
        "if not places:", OF_FETCHING,
    ),
    Mutant(
        "the connection goes to the address that was checked", FETCHING, "    for place in places[:MOST_ADDRESSES]:\n",
        "    for place in _places(name, way)[:MOST_ADDRESSES]:\n", OF_FETCHING,
    ),
    Mutant("redirects end", FETCHING, "for _ in range(MOST_REDIRECTS + 1):", "for _ in range(50):", OF_FETCHING),
    Mutant(
        "a redirect is checked", FETCHING, "            address = _parse(url)\n",
        "            address = _parse(url) if url.isascii() and not _ else HttpUrl(url)\n", OF_FETCHING,
    ),
    Mutant(
        "a body fetched has a limit", FETCHING, "            if len(data) > most_bytes:\n                break\n", "",
        OF_FETCHING,
    ),
    Mutant(
        "…and is not begun when it says so", FETCHING, "if said is None or said <= most_bytes:", "if True:",
        OF_FETCHING,
    ),
    Mutant(
        "what surrounds it has one too", FETCHING, "        if self.room < 0:\n            raise TooMuch\n", "",
        f"{OF_FETCHING} -k trailers",
    ),
    Mutant(
        "there is an end to waiting", FETCHING, "self.settimeout(self.deadline.left(SILENT_SECONDS))",
        "self.settimeout(SILENT_SECONDS)", f"{OF_FETCHING} -k drip",
    ),
    Mutant(
        "…and to silence", FETCHING, "self.settimeout(self.deadline.left(SILENT_SECONDS))",
        "self.settimeout(self.deadline.left(60))", f"{OF_FETCHING} -k silence",
    ),
    Mutant(
        "nothing is unpacked", FETCHING, '.strip().lower() not in ("", "identity"):', '.strip().lower() == "br":',
        OF_FETCHING,
    ),
    Mutant(
        "a body is whole", FETCHING, "            if said is not None and len(data) < said:\n",
        "            if False:\n", OF_FETCHING,
    ),
    Mutant(
        "certificates are for the name", FETCHING, "    context.sslsocket_class = BoundedSocket\n",
        "    context.sslsocket_class = BoundedSocket\n    context.check_hostname = False\n", OF_FETCHING,
    ),
    Mutant(
        "…by an authority", FETCHING, "    context.sslsocket_class = BoundedSocket\n",
        "    context.sslsocket_class = BoundedSocket\n    context.check_hostname = False\n"
        "    context.verify_mode = ssl.CERT_NONE\n", OF_FETCHING,
    ),
    Mutant(
        "what is fetched is looked at", FETCHED, "return examine(fetch(",
        "from models import pictures\n        return pictures.Picture(\"image/png\", 1, 1, fetch(", OF_PROVIDERS,
    ),
    Mutant(
        "addresses have no user", URLS, "    if url.username is not None or url.password is not None:\n",
        "    if False:\n", OF_URLS,
    ),
    Mutant("…no other port", URLS, "    if url.port != HTTPS_PORT:\n", "    if False:\n", OF_URLS),
    Mutant("…and no name of the inside", URLS, "labels[-1] not in INSIDE and ", "", OF_URLS),
    Mutant("…however short", URLS, "len(labels) > 1 and ", "", OF_URLS),
    Mutant(
        "addresses in addresses are looked at", URLS,
        "        if inner is not None:\n            return is_public(inner)\n",
        "        if inner is not None:\n            return True\n", OF_URLS,
    ),
    Mutant(
        "6to4 and Teredo lead nowhere", URLS, '"2001::/23", "2001:db8::/32", "2002::/16", ', '"2001:db8::/32", ',
        OF_URLS,
    ),
    Mutant("IPv6 is public where it is global unicast", URLS, "address not in GLOBAL_UNICAST or ", "", OF_URLS),
    Mutant(
        "the mock goes nowhere", "worker/ai/mock.py", 'call.picture() if "upload" in call.input else None',
        'call.picture() if {"upload", "image_url"} & {*call.input} else None', OF_PROVIDERS,
    ),
]  # fmt: skip

BROUGHT_ALONG = [*KEPT, *BODIES, *TAKEN_FOR_PICTURES, *FETCHED_FROM_OUTSIDE]
