"""Fields are copied from a store: what is chosen, whole or absent; and nothing else asks one."""

from __future__ import annotations

import errno
import functools
import http.server
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from stamps import write_field

import hstcube
from hstcube.errors import FileError, HstCubeError, WriteError
from hstcube.jobs.fetching import fetch_told
from hstcube.remote import stores
from hstcube.remote.copies import RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

FIELD_FILE = """name = "{name}"
psf = "psfs/of_{name}.fits"
[bands.f160w]
sci = "new_stamps/{of}_60mas_f160w_sci.fits"
wht = "new_stamps/{of}_60mas_f160w_wht.fits"
"""


@pytest.fixture(scope="module")
def stamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields, with all that lies beside them, and files that belong to none."""
    folder = tmp_path_factory.mktemp("stamps")
    write_field(folder, "1")
    write_field(folder, "22")
    (folder / "psf_60mas.fits").write_bytes(b"the PSFs")
    (folder / "mine.toml").write_text(FIELD_FILE.format(name="mine", of="22"))
    (folder / "psfs").mkdir()
    (folder / "psfs" / "of_mine.fits").write_bytes(b"its own")
    (folder / "recipe.toml").write_text('to = "f160w"\n')
    (folder / "notes.txt").write_text("of no field\n")
    (folder / "new_stamps" / "preview.png").write_bytes(b"picture")
    return folder


@pytest.fixture
def memory(stamps: Path) -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.put(str(stamps), "/bucket/deep/stamps", recursive=True)
    yield system
    system.rm("/bucket", recursive=True)


def names(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in paths} - {RECORD}


def same_bytes(copy: Path, there: Path) -> bool:
    return all((copy / name).read_bytes() == (there / name).read_bytes() for name in names(copy))


def of_field(folder: Path, field: str, band: str = "") -> set[str]:
    """Return what belongs to a field, by the names that `write_field` gives."""
    digits = "".join(filter(str.isdigit, band))
    return {
        name
        for name in names(folder)
        if re.match(rf"new_stamps/{field}_60mas_{band}.*fits", name)
        or re.match(rf"NEW_SKY/sky_{field}_{digits}", name)
        or name in (f"segment_maps/udf_mosaic_{field}_HST_SEGMAP.fits", "psf_60mas.fits")
    }


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(HstCubeError) as caught:
        call()
    return caught.value.code


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "hstcube", *arguments]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


MEMORY = "memory://bucket/deep/stamps"


def test_a_folder_comes_with_all_that_belongs_to_its_fields_and_nothing_else(
    memory: Any, stamps: Path, tmp_path: Path
):
    table = hstcube.fetch(MEMORY, tmp_path / "copy")
    strangers = {"recipe.toml", "notes.txt", "new_stamps/preview.png"}
    assert names(tmp_path / "copy") == names(stamps) - strangers
    assert same_bytes(tmp_path / "copy", stamps)
    assert set(table["file"]) == names(tmp_path / "copy")
    assert set(table["status"]) == {"fetched"}
    sizes = {row["file"]: row["size"] for row in table}
    assert all(size == (stamps / name).stat().st_size for name, size in sizes.items())
    cube = hstcube.open_field(tmp_path / "copy", "1", psf="gaussian")
    assert cube.sizes["band"] == 3


def test_one_field_and_one_band_are_chosen_as_ls_would_name_them(
    memory: Any, stamps: Path, tmp_path: Path
):
    hstcube.fetch(MEMORY, tmp_path / "field", fields=["22"])
    assert names(tmp_path / "field") == of_field(stamps, "22")
    hstcube.fetch(MEMORY + "/", tmp_path / "band", fields=["1"], bands=["F850LP"])
    assert names(tmp_path / "band") == of_field(stamps, "1", "f850lp")
    hstcube.fetch(MEMORY, tmp_path / "mine", fields=["mine"])
    images = {f"new_stamps/22_60mas_f160w_{kind}.fits" for kind in ("sci", "wht")}
    assert names(tmp_path / "mine") == {"mine.toml", "psfs/of_mine.fits"} | images


def test_a_file_of_a_release_whose_name_tells_no_band_comes_with_its_field(tmp_path: Path):
    system = fsspec.filesystem("memory")
    hlf = "hlsp_hlf_hst_acs-60mas_goodss_{}_v2.0_{}.fits"
    images = {hlf.format(band, kind) for band in ("f606w", "f775w") for kind in ("sci", "wht")}
    thumb = "gds_thumb_7.fits"
    for name in images | {thumb}:
        system.pipe(f"/releases/hlf/{name}", b"made up")
    try:
        place, how = "memory://releases/hlf", {"bands": ["f606w"]}
        some = {row["file"] for row in hstcube.fetch(place, tmp_path / "some", **how)}
        mine = {row["file"] for row in hstcube.fetch(place, tmp_path / "mine", fields=["goodss"])}
    finally:
        system.rm("/releases", recursive=True)
    assert some == {hlf.format("f606w", kind) for kind in ("sci", "wht")} | {thumb}
    assert mine == images


def test_what_is_there_is_kept_and_what_lacks_is_fetched(memory: Any, tmp_path: Path):
    first = hstcube.fetch(MEMORY, tmp_path, fields=["1"])
    gone = tmp_path / first["file"][0]
    gone.unlink()
    short = tmp_path / first["file"][1]
    short.write_bytes(b"cut")
    assert code_of(lambda: hstcube.fetch(MEMORY, tmp_path, fields=["1"])) == "HC-O04"
    assert short.read_bytes() == b"cut"
    again = hstcube.fetch(MEMORY, tmp_path, fields=["1"], overwrite=True)
    assert list(again["status"]) == ["fetched"] * 2 + ["kept"] * (len(again) - 2)
    assert short.read_bytes() != b"cut"


def test_a_file_that_no_fetch_made_is_not_taken_for_a_copy(
    memory: Any, stamps: Path, tmp_path: Path
):
    name = "new_stamps/1_60mas_f160w_sci.fits"
    (tmp_path / "new_stamps").mkdir()
    size = (stamps / name).stat().st_size
    (tmp_path / name).write_bytes(bytes(size))
    assert code_of(lambda: hstcube.fetch(MEMORY, tmp_path, fields=["1"])) == "HC-O04"
    assert names(tmp_path) == {name}
    assert (tmp_path / name).read_bytes() == bytes(size)


def test_another_version_in_the_store_is_not_taken_for_the_copy(memory: Any, tmp_path: Path):
    hstcube.fetch(MEMORY, tmp_path, fields=["1"])
    name = "new_stamps/1_60mas_f160w_sci.fits"
    other = bytes((tmp_path / name).stat().st_size)  # of the same size
    memory.pipe(f"/bucket/deep/stamps/{name}", other)
    assert code_of(lambda: hstcube.fetch(MEMORY, tmp_path, fields=["1"])) == "HC-O04"
    again = hstcube.fetch(MEMORY, tmp_path, fields=["1"], overwrite=True)
    assert list(again["file"][again["status"] == "fetched"]) == [name]
    assert (tmp_path / name).read_bytes() == other


def test_a_torn_record_vouches_for_nothing_that_it_does_not_tell(memory: Any, tmp_path: Path):
    table = hstcube.fetch(MEMORY, tmp_path, fields=["1"])
    record = tmp_path / RECORD
    last = json.loads(record.read_text().splitlines()[-1])["file"]
    record.write_bytes(record.read_bytes()[:-30])
    (tmp_path / last).unlink()
    again = hstcube.fetch(MEMORY, tmp_path, fields=["1"])
    assert list(again["file"][again["status"] == "fetched"]) == [last]
    assert set(hstcube.fetch(MEMORY, tmp_path, fields=["1"])["status"]) == {"kept"}
    assert len(table) == len(again)


def test_a_fetch_that_ends_midway_leaves_whole_copies_and_goes_on(
    memory: Any, stamps: Path, tmp_path: Path
):
    def interrupt(number: int, total: int, name: str) -> None:
        if number == 3:
            raise KeyboardInterrupt

    how: dict[str, Any] = {"fields": ["1"], "bands": (), "overwrite": False, "storage": {}}
    with pytest.raises(KeyboardInterrupt):
        fetch_told(MEMORY, tmp_path, tell=interrupt, **how)
    made = names(tmp_path)
    assert not any(".part-" in name for name in made)
    assert same_bytes(tmp_path, stamps)
    table = fetch_told(MEMORY, tmp_path, **how)
    assert set(table["file"][table["status"] == "kept"]) == made
    assert names(tmp_path) == of_field(stamps, "1")


def test_a_file_that_comes_short_is_absent(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def short(_: Any, path: str, part: str, **how: Any) -> None:
        Path(part).write_bytes(b"half")

    monkeypatch.setattr(type(memory), "get_file", short)
    with pytest.raises(FileError, match=r"HC-F44 .*4 of .* bytes came"):
        hstcube.fetch(MEMORY, tmp_path, fields=["1"])
    assert names(tmp_path) == set()


def test_a_disk_that_is_full_is_told_before_and_in_the_middle(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_: Any, path: str, part: str, **how: Any) -> None:
        Path(part).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", full)
        assert code_of(lambda: hstcube.fetch(MEMORY, tmp_path, fields=["1"])) == "HC-O02"
    assert names(tmp_path) == set()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(WriteError, match=r"HC-O02 .*are needed"):
        hstcube.fetch(MEMORY, tmp_path, fields=["1"])


@pytest.mark.parametrize(
    ("address", "how", "code"),
    [
        ("nothing/here", {}, "HC-F41"),
        ("file:///tmp", {}, "HC-F41"),
        ("gopher7://somewhere/x", {}, "HC-F41"),
        ("simplecache::memory://bucket/deep/stamps", {}, "HC-F41"),
        ("zip://a::memory://bucket/deep/stamps", {}, "HC-F41"),
        ([], {}, "HC-F41"),
        ("memory://bucket/nothing", {}, "HC-F42"),
        ("memory://bucket/deep", {}, "HC-F42"),
        (MEMORY, {"fields": ["3"]}, "HC-F42"),
        (MEMORY, {"bands": ["f140w"]}, "HC-B01"),
    ],
)
def test_what_cannot_be_fetched_has_a_code(
    memory: Any, tmp_path: Path, address: Any, how: dict[str, Any], code: str
):
    assert code_of(lambda: hstcube.fetch(address, tmp_path / "copy", **how)) == code
    assert not (tmp_path / "copy").exists()


def test_a_field_file_cannot_lead_out_of_the_folder(memory: Any, tmp_path: Path):
    for place in ("../../x_sci.fits", "/etc/passwd", f"{RECORD}"):
        text = f'[bands.f160w]\nsci = "{place}"\nwht = "w.fits"\n'
        memory.pipe("/bucket/deep/stamps/evil.toml", text.encode())
        assert code_of(lambda: hstcube.fetch(MEMORY, tmp_path, fields=["evil"])) == "HC-F45"
        assert names(tmp_path) == set()
    hstcube.fetch(MEMORY, tmp_path, fields=["1"])  # it is in nobody's way who did not ask for it


def test_without_the_extra_the_fix_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(FileError, match=r"HC-F40 [\s\S]*pip install 'hstcube\[remote\]'"):
        hstcube.fetch(MEMORY, tmp_path)


# --- a server of files


ENOUGH = threading.Event()


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; some paths are broken in their own ways."""

    def do_GET(self) -> None:
        if "forbidden" in self.path:
            self.send_error(403)
        elif "broken" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
        elif "packed" in self.path:  # a server that takes .gz for an encoding of its own
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(b"\x1f\x8bpacked")
        elif "sizeless" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"anything")
        elif "stalled" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            ENOUGH.wait(60)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        if "broken" in self.path or "stalled" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
        elif any(word in self.path for word in ("forbidden", "packed", "sizeless")):
            self.send_error(403)
        else:
            super().do_HEAD()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(stamps: Path) -> Iterator[str]:
    handler = functools.partial(_Server, directory=str(stamps))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        ENOUGH.set()
        server.shutdown()


def test_files_of_a_server_are_named_one_by_one(server: str, stamps: Path, tmp_path: Path):
    wanted = sorted(of_field(stamps, "1"))
    addresses = [f"{server}/{name}?download=1" for name in wanted]
    hstcube.fetch(addresses, tmp_path / "all")
    assert names(tmp_path / "all") == {*wanted}
    assert same_bytes(tmp_path / "all", stamps)
    assert set(hstcube.fetch(addresses, tmp_path / "all")["status"]) == {"kept"}
    hstcube.fetch(addresses, tmp_path / "band", bands=["f160w"])
    assert names(tmp_path / "band") == of_field(stamps, "1", "f160w")
    table = hstcube.fetch(f"{server}/notes.txt", tmp_path / "one", anon=True)
    assert list(table["file"]) == ["notes.txt"]


def test_a_field_file_of_a_server_brings_what_it_names(server: str, stamps: Path, tmp_path: Path):
    hstcube.fetch(f"{server}/mine.toml", tmp_path)
    images = {f"new_stamps/22_60mas_f160w_{kind}.fits" for kind in ("sci", "wht")}
    assert names(tmp_path) == {"mine.toml", "psfs/of_mine.fits"} | images
    assert same_bytes(tmp_path, stamps)
    assert code_of(lambda: hstcube.fetch(f"{server}/recipe.toml", tmp_path)) == "HC-B15"


def test_field_files_of_several_places_bring_what_lies_beside_each(tmp_path: Path):
    system = fsspec.filesystem("memory")
    try:
        for place in ("one", "two"):
            text = f'[bands.f160w]\nsci = "{place}_sci.fits"\nwht = "{place}_wht.fits"\n'
            system.pipe(f"/places/{place}/{place}.toml", text.encode())
            for kind in ("sci", "wht"):
                system.pipe(f"/places/{place}/{place}_{kind}.fits", place.encode())
        addresses = [f"memory://places/{place}/{place}.toml" for place in ("one", "two")]
        table = hstcube.fetch(addresses, tmp_path)
        folders = ["memory://places/one", "memory://places/two"]
        assert code_of(lambda: hstcube.fetch(folders, tmp_path)) == "HC-F42"
    finally:
        system.rm("/places", recursive=True)
    assert len(table) == 6
    assert (tmp_path / "two_wht.fits").read_bytes() == b"two"


def test_what_a_server_packs_comes_as_it_lies_there(server: str, tmp_path: Path):
    hstcube.fetch(f"{server}/packed.fits.gz", tmp_path)
    assert (tmp_path / "packed.fits.gz").read_bytes() == b"\x1f\x8bpacked"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nothing.fits", "HC-F42"),
        ("new_stamps/", "HC-F42"),  # ends in no name
        ("new_stamps", "HC-F42"),  # a page that lists files
        ("..%2F..%2Fescape.fits", "HC-F42"),
        ("forbidden.fits", "HC-F43"),
        ("broken.fits", "HC-F44"),
        ("sizeless.fits", "HC-F44"),
    ],
)
def test_what_a_server_refuses_has_a_code(server: str, tmp_path: Path, path: str, code: str):
    assert code_of(lambda: hstcube.fetch(f"{server}/{path}", tmp_path)) == code
    assert names(tmp_path) == set()


def test_a_server_that_is_down_and_an_unknown_option_are_told(server: str, tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}/a.fits"
        assert code_of(lambda: hstcube.fetch(down, tmp_path)) == "HC-F44"
    asked = {"nonsense": 1}
    assert code_of(lambda: hstcube.fetch(f"{server}/notes.txt", tmp_path, **asked)) == "HC-F41"


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_while_a_file_comes_goes_on_where_it_was(
    server: str, stamps: Path, tmp_path: Path, end: signal.Signals
):
    wanted = sorted(of_field(stamps, "1"))
    addresses = [f"{server}/{name}" for name in wanted]
    words = [sys.executable, "-m", "hstcube", "fetch", "-o", "copy", *addresses]
    with subprocess.Popen([*words, f"{server}/stalled.fits"], cwd=tmp_path, stderr=-3) as going:
        copy, patience = tmp_path / "copy", time.monotonic() + 60
        while time.monotonic() < patience and not set(wanted) <= names(copy):
            time.sleep(0.05)
        going.send_signal(end)
        code = going.wait(20)
    assert code == {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[end.name]
    assert (end is signal.SIGKILL) == any(".part-" in name for name in names(copy))
    done = command("fetch", "-o", "copy", *addresses, cwd=tmp_path)
    assert f"0 fetched, {len(wanted)} kept" in done.stdout
    assert names(copy) == {*wanted}
    assert same_bytes(copy, stamps)


# --- a store of S3


@pytest.fixture(scope="module")
def s3(stamps: Path) -> Iterator[str]:
    """Serve two buckets, each with the stamps; one of them has no public reading."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    for bucket in ("first", "second"):
        client.create_bucket(Bucket=bucket)
        for name in sorted(names(stamps)):
            key = f"{'deep/' if bucket == 'first' else ''}{name}"
            client.put_object(Bucket=bucket, Key=key, Body=(stamps / name).read_bytes())
    client.put_object(Bucket="second", Key="../escape_60mas_f160w_sci.fits", Body=b"no")
    client.close()
    yield address
    server.stop()


def with_keys(address: str, **more: Any) -> dict[str, Any]:
    client = {"region_name": "us-east-1"}
    return {
        "endpoint_url": address,
        "key": "testing",
        "secret": "testing",
        "client_kwargs": client,
    } | more


def test_a_bucket_and_a_folder_of_another_one(s3: str, stamps: Path, tmp_path: Path):
    for address, name in (("s3://first/deep", "a"), ("s3://second", "b")):
        table = hstcube.fetch(address, tmp_path / name, fields=["1", "22"], **with_keys(s3))
        assert names(tmp_path / name) == of_field(stamps, "1") | of_field(stamps, "22")
        assert same_bytes(tmp_path / name, stamps)
        assert all(one.startswith(address) for one in table["address"])
    again = hstcube.fetch("s3://first/deep", tmp_path / "a", fields=["1"], **with_keys(s3))
    assert set(again["status"]) == {"kept"}
    one = "s3://first/deep/new_stamps/1_60mas_f160w_sci.fits"
    assert len(hstcube.fetch(one, tmp_path / "one", **with_keys(s3))) == 1


def test_what_s3_has_not_or_does_not_give(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for address in ("s3://first/nothing", "s3://none/deep"):
        assert code_of(lambda a=address: hstcube.fetch(a, tmp_path, **with_keys(s3))) == "HC-F42"
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(FileError, match=r"HC-F43"):
        hstcube.fetch("s3://first/deep", tmp_path, endpoint_url=s3)


@pytest.mark.slow
def test_the_command_tells_its_progress_and_keeps_what_is_there(
    s3: str, stamps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "list.txt").write_text("1\n")
    for name, value in (("ACCESS_KEY_ID", "testing"), ("SECRET_ACCESS_KEY", "testing"),
                        ("ENDPOINT_URL", s3), ("DEFAULT_REGION", "us-east-1")):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    asked = ("fetch", "s3://first/deep", "-o", "copy", "--fields", "list.txt", "-b", "f160w")
    done = command(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = of_field(stamps, "1", "f160w")
    assert names(tmp_path / "copy") == wanted
    assert f"[{len(wanted)}/{len(wanted)}] " in done.stderr
    assert f"{len(wanted)} fetched, 0 kept" in done.stdout
    assert f"0 fetched, {len(wanted)} kept" in command(*asked, cwd=tmp_path).stdout


# --- the only door


def test_nothing_but_fetch_knows_of_a_network():
    package = Path(hstcube.__file__).parent
    doors = re.compile(
        r"\b(import|from) (fsspec|s3fs|aiohttp|requests|socket|http|urllib\.request)\b"
    )
    found = {path for path in package.rglob("*.py") if doors.search(path.read_text())}
    assert found == {Path(stores.__file__)}


@pytest.mark.parametrize("address", ["s3://first/deep", "https://server/it.fits", MEMORY])
def test_an_address_is_refused_without_asking_anybody(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        msg = "a network was asked"
        raise AssertionError(msg)

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    calls = (
        lambda: hstcube.open_field(address, "1"),
        lambda: hstcube.list_fields(address),
        lambda: hstcube.run_fields(address, tmp_path / "out"),
        lambda: hstcube.open_bands({"f160w": (address, address)}, field="1"),
        lambda: hstcube.open_cube(address),
        lambda: hstcube.open_labels(address),
        lambda: hstcube.open_psf(address),
    )
    for call in calls:
        with pytest.raises(HstCubeError) as caught:
            call()
        assert caught.value.code == "HC-F21", caught.value
        assert f"hstcube.fetch('{address}', 'FOLDER')" in caught.value.fix


@pytest.mark.slow
def test_the_command_line_refuses_an_address_and_names_the_command(tmp_path: Path):
    for words in (("run",), ("check",), ("ls",)):
        done = command(*words, "s3://first/deep", cwd=tmp_path)
        assert done.returncode == 3
        assert "HC-F21" in done.stdout + done.stderr
        assert "hstcube fetch s3://first/deep -o FOLDER" in done.stdout + done.stderr
