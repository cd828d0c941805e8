"""What lies under a root: every object is a source, or is counted as ignored with its cause."""

from __future__ import annotations

import os
import sys
import tracemalloc
from datetime import UTC, datetime

import pytest

from pipelines import listing
from pipelines.sources import Ignored, SourceRoot, SourcesConfig, default_name, list_sources, parse_source, stat_source
from schemas.errors import ConfigError
from schemas.model import parse


def listed(uri, *, skip=(), only=None, **config):
    """Paths that are sources, sorted, and the counts of what is not."""
    ignored = Ignored()
    found = list_sources(SourceRoot("r", str(uri), only), SourcesConfig(**config), ignored, [str(s) for s in skip])
    return sorted(source.path for source in found), dict(ignored.counts)


def touch(folder, *names, content=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_audio_is_a_source_at_any_depth_and_the_rest_is_ignored(tmp_path):
    touch(tmp_path, "a.wav", "b/C.MP3", "b/c/d.flac", "b/c/d.txt", "README", "x.rttm")
    assert listed(tmp_path) == (["a.wav", "b/C.MP3", "b/c/d.flac"], {"not_included": 3})


def test_everything_is_a_source_when_asked(tmp_path):
    touch(tmp_path, "a.wav", "b/README", "b/c/d.txt")
    assert listed(tmp_path, include=("**",)) == (["a.wav", "b/README", "b/c/d.txt"], {})


def test_what_is_excluded_is_ignored_and_whole_folders_are_not_looked_into(tmp_path):
    touch(tmp_path, "a.wav", "test-a.wav", "old/1.wav", "old/2.wav")
    sources, ignored = listed(tmp_path, exclude=("test-*", "old/**"))
    assert (sources, ignored) == (["a.wav"], {"excluded": 2})  # a file, and a folder


def test_hidden_files_and_folders_are_ignored_unless_asked_for(tmp_path):
    touch(tmp_path, "a.wav", ".b.wav", ".trash/c.wav", ".trash/d.wav")
    assert listed(tmp_path) == (["a.wav"], {"hidden": 2})
    assert listed(tmp_path, hidden=True) == ([".b.wav", ".trash/c.wav", ".trash/d.wav", "a.wav"], {})


def test_the_version_of_a_local_file_is_its_mtime_and_size(tmp_path):
    touch(tmp_path, "a.wav", content=b"12345")
    os.utime(tmp_path / "a.wav", ns=(0, 1_700_000_000_123_456_789))
    (source,) = list_sources(SourceRoot("r", str(tmp_path)), SourcesConfig())
    assert (source.root, source.path, source.version, source.size_bytes) == (
        "r", "a.wav", "1700000000123456789-5", 5,
    )  # fmt: skip
    assert stat_source(SourceRoot("r", str(tmp_path)), "a.wav") == source
    assert stat_source(SourceRoot("r", str(tmp_path)), "b.wav") is None


def test_links_are_followed_but_never_in_a_circle(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    touch(root, "a/x.wav")
    touch(other, "y.wav")
    (root / "file.wav").symlink_to(other / "y.wav")
    (root / "folder").symlink_to(other)
    (root / "a" / "up").symlink_to(root)
    (root / "gone.wav").symlink_to(tmp_path / "nowhere")
    (root / "self.wav").symlink_to(root / "self.wav")
    sources, ignored = listed(root)
    assert sources == ["a/x.wav", "file.wav", "folder/y.wav"]
    assert ignored == {"link_cycle": 1, "broken_link": 2}


def test_two_folders_that_link_to_each_other_end(tmp_path):
    touch(tmp_path, "a/x.wav", "b/y.wav")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    assert listed(tmp_path) == (["a/b/y.wav", "a/x.wav", "b/a/x.wav", "b/y.wav"], {"link_cycle": 2})


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert listed(tmp_path) == ([], {"not_a_file": 1})


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_names_that_are_not_utf8_are_counted_and_shown_escaped(tmp_path):
    touch(tmp_path, "ok.wav")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.wav", "wb"):
        pass
    os.mkdir(os.fsencode(tmp_path) + b"/d\xff")
    with open(os.fsencode(tmp_path) + b"/d\xff/x.wav", "wb"):
        pass
    ignored = Ignored()
    sources = list(list_sources(SourceRoot("r", str(tmp_path)), SourcesConfig(), ignored))
    assert [source.path for source in sources] == ["ok.wav"]
    assert sorted(ignored.examples["name_not_utf8"]) == ["caf\\xe9.wav", "d\\xff/x.wav"]


def test_a_name_may_hold_a_line_end_and_what_urls_and_globs_mean(tmp_path):
    names = ["a\nb.wav", "a::b.wav", "[x]*?.wav", "100%.wav", " space .wav"]
    touch(tmp_path, *names)
    assert listed(tmp_path)[0] == sorted(names)


def test_a_lake_within_the_root_is_no_source(tmp_path):
    touch(tmp_path, "a.wav", "lake/shards/x.wav", "lakeside/b.wav")
    assert listed(tmp_path, skip=[tmp_path / "lake"]) == (["a.wav", "lakeside/b.wav"], {"lake": 1})
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    assert listed(tmp_path, skip=[tmp_path / "lake"]) == (["a.wav", "lakeside/b.wav"], {"lake": 2})


def test_a_root_within_the_lake_is_refused(tmp_path):
    touch(tmp_path, "lake/a.wav")
    for root in (tmp_path / "lake", tmp_path / "lake" / "sub"):
        with pytest.raises(ConfigError, match=r"lies within .*lake, which provoice writes"):
            listed(root, skip=[tmp_path / "lake"])


@pytest.mark.parametrize("uri", ["nowhere", "memory://nowhere-at-all"])
def test_a_root_that_is_not_there_is_named(tmp_path, uri):
    uri = uri if "://" in uri else tmp_path / uri
    with pytest.raises(ConfigError, match=r"source root .*nowhere.*: nothing is there; check the spelling"):
        listed(uri)


def test_a_store_that_nobody_can_open_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"source root nosuch://x: cannot be read \(ValueError: Protocol not known"):
        listed("nosuch://x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_stops_the_listing(tmp_path):
    touch(tmp_path, "a.wav", "b/c.wav")
    (tmp_path / "b").chmod(0)
    try:
        with pytest.raises(
            ConfigError, match=r"may not be read .*/b.*; grant access, or leave it out with sources.exclude"
        ):
            listed(tmp_path)
        assert listed(tmp_path, exclude=("b/**",)) == (["a.wav"], {"excluded": 1})
    finally:
        (tmp_path / "b").chmod(0o755)


def test_stores_of_fsspec_are_listed_with_versions_that_hold():
    import fsspec

    store = fsspec.filesystem("memory")
    for name in ("a.wav", "b/c.flac", "b/c.txt", "lake/x.wav"):
        store.pipe(f"/walked/{name}", b"12")
    root = SourceRoot("r", "memory://walked")
    sources, ignored = listed(root.uri, skip=["memory://walked/lake"])
    assert (sources, ignored) == (["a.wav", "b/c.flac"], {"not_included": 1, "lake": 1})
    first = sorted(list_sources(root, SourcesConfig()), key=lambda source: source.path)
    assert [stat_source(root, source.path) for source in first] == first
    store.pipe("/walked/a.wav", b"123")
    assert stat_source(root, "a.wav").version != first[0].version
    assert stat_source(root, "gone.wav") is None


class Pages:
    """A store that answers in pages, as the JSON API and ListObjectsV2 do; it counts how often it is asked."""

    def __init__(self, names, size=3):
        self.names, self.size, self.asked, self.req_kw = sorted(names), size, 0, {}
        self.protocol = ()

    def opened(self, uri):
        scheme, _, place = uri.partition("://")
        self.protocol = (scheme,)
        return self, place

    def _page(self, prefix, begin):
        self.asked += 1
        names = [name for name in self.names if name.startswith(prefix)]
        return names[begin : begin + self.size], begin + self.size if begin + self.size < len(names) else None

    def call(self, method, path, bucket, *, prefix, maxResults, fields, json_out, pageToken="0"):  # noqa: N803
        assert (method, path, bucket, maxResults, json_out) == ("GET", "b/{}/o", "bucket", 1000, True)
        assert "md5Hash" in fields
        names, after = self._page(prefix, int(pageToken))
        items = [{"name": name, "size": "7", "md5Hash": f"m-{name}", "etag": "e"} for name in names]
        return {"items": items} | ({"nextPageToken": str(after)} if after else {})

    def call_s3(self, method, *, Bucket, Prefix, MaxKeys, ContinuationToken="0"):  # noqa: N803
        assert (method, Bucket, MaxKeys) == ("list_objects_v2", "bucket", 1000)
        names, after = self._page(Prefix, int(ContinuationToken))
        items = [{"Key": name, "Size": 7, "ETag": f'"e-{name}"'} for name in names]
        return {"Contents": items, "IsTruncated": bool(after)} | (
            {"NextContinuationToken": str(after)} if after else {}
        )


@pytest.mark.parametrize(("protocol", "mark"), [("gs", "m"), ("gcs", "m"), ("s3", "e"), ("s3a", "e")])
@pytest.mark.parametrize("folder", ["", "/in/voice"])
def test_buckets_are_listed_page_by_page(monkeypatch, protocol, mark, folder):
    prefix = f"{folder.strip('/')}/" if folder else ""
    store = Pages([f"{prefix}{n}.wav" for n in range(8)] + [f"{prefix}sub/", "in/voices/other.wav"])
    monkeypatch.setattr(listing, "open_filesystem", store.opened)
    found = list_sources(SourceRoot("r", f"{protocol}://bucket{folder}"), SourcesConfig())
    first = next(found)
    assert store.asked == 1  # the rest is not in memory yet
    assert (first.path, first.version, first.size_bytes) == ("0.wav", f"{mark}-{prefix}0.wav", 7)
    rest = [source.path for source in found]
    assert [path for path in rest if "/" not in path] == [f"{n}.wav" for n in range(1, 8)]


def test_a_prefix_without_objects_is_a_root_that_is_not_there(monkeypatch):
    store = Pages([])
    monkeypatch.setattr(listing, "open_filesystem", store.opened)
    with pytest.raises(ConfigError, match=r"typo: nothing is there; check the spelling"):
        listed("gs://bucket/typo")


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"md5Hash": "abc==", "crc32c": "x", "etag": "y", "generation": "1"}, "abc=="),
        ({"crc32c": "x==", "etag": "y", "generation": "1"}, "x=="),
        ({"ETag": '"d41d8"', "LastModified": "z"}, "d41d8"),
        ({"ETag": 'W/"d41d8"'}, "d41d8"),
        ({"generation": 17, "size": 3}, "17"),
        ({"mtime": 12.5, "size": 3}, "12500000-3"),
        ({"created": datetime(1970, 1, 1, 0, 0, 12, 500_000, UTC), "size": 3}, "12500000-3"),
        ({"size": 3}, "3"),
    ],
)
def test_the_version_is_the_surest_thing_the_store_says(info, version):
    assert listing.version_of(info) == version


def test_memory_does_not_grow_with_the_listing(tmp_path):
    for folder in range(20):
        touch(tmp_path, *(f"{folder}/{n:04d}.wav" for n in range(100)), content=b"")
    root = SourceRoot("r", str(tmp_path))
    next(list_sources(root, SourcesConfig()))
    tracemalloc.start()
    count = sum(1 for _ in list_sources(root, SourcesConfig()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2000
    assert peak < 100_000  # 50 bytes a source


# --- what a person writes ---


def test_a_source_may_be_named(tmp_path):
    assert parse_source(f"podcasts={tmp_path}") == SourceRoot("podcasts", str(tmp_path))
    assert parse_source("x=gs://bucket/in/") == SourceRoot("x", "gs://bucket/in")
    assert parse_source(f"file://{tmp_path}").uri == str(tmp_path)


def test_the_default_name_is_the_base_name_and_a_digest(tmp_path, monkeypatch):
    folder = tmp_path / "my audio!"
    folder.mkdir()
    root = parse_source(str(folder))
    assert root.name.startswith("my-audio-")
    assert len(root.name) == len("my-audio-") + 8
    assert parse_source("gs://bucket/audio").name != parse_source("gs://other/audio").name
    monkeypatch.chdir(tmp_path)
    assert parse_source("my audio!") == parse_source("./my audio!/") == root
    assert default_name("/").startswith("root-")


def test_an_equals_sign_in_a_path_is_no_name(tmp_path):
    assert parse_source(str(tmp_path / "year=2026")).uri == str(tmp_path / "year=2026")
    assert parse_source("gs://bucket/year=2026/x").uri == "gs://bucket/year=2026/x"


def test_a_single_file_is_its_folder_with_only_that_file(tmp_path):
    touch(tmp_path, "a.wav", "odd.xyz")
    root = parse_source(str(tmp_path / "odd.xyz"))
    assert root == SourceRoot(parse_source(str(tmp_path)).name, str(tmp_path), "odd.xyz")
    assert listed(root.uri, only=root.only) == (["odd.xyz"], {})
    assert parse_source("s3://bucket/in/a.mp3") == SourceRoot(default_name("s3://bucket/in"), "s3://bucket/in", "a.mp3")
    assert parse_source("s3://bucket/in.mp3/").only is None


def test_a_single_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a.wav: nothing is there"):
        listed(tmp_path, only="a.wav")


@pytest.mark.parametrize("text", ["", "name=", "a b=/data", "-x=/data", f"{'n' * 65}=/data"])
def test_a_source_that_cannot_be_meant_is_refused(text):
    with pytest.raises(ConfigError):
        parse_source(text)


@pytest.mark.parametrize("pattern", ["", "/abs/*.wav", "a[z-a].wav"])
def test_a_glob_that_cannot_be_meant_is_refused(pattern):
    with pytest.raises(ConfigError, match=r"`include"):
        parse(SourcesConfig, {"include": [pattern]}, "x.yaml")


def test_a_fault_of_any_client_is_one_line():
    error = listing.refused("gs://b", RuntimeError("first\n  second"))
    assert str(error) == "source root gs://b: cannot be read (RuntimeError: first second); check URI and credentials"
    assert "grant access, or leave it out with sources.exclude" in str(
        listing.refused("/data", PermissionError(13, "no"))
    )


def test_a_root_that_is_no_folder_is_named(tmp_path):
    touch(tmp_path, "a.wav")
    with pytest.raises(ConfigError, match=r"a.wav: not a folder"):
        listed(tmp_path / "a.wav")


def test_a_folder_that_vanishes_or_may_not_be_read_stops_the_listing(tmp_path, monkeypatch):
    touch(tmp_path, "a.wav", "b/c.wav")
    look = os.scandir
    for error in (PermissionError(13, "Permission denied"), OSError(5, "Input/output error")):

        def scandir(path, error=error):
            if str(path).endswith("/b"):
                raise error
            return look(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with pytest.raises(ConfigError, match=error.strerror):
            listed(tmp_path)
        assert listed(tmp_path, exclude=("b/**",)) == (["a.wav"], {"excluded": 1})
