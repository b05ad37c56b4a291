#!/usr/bin/env python3
"""Holds every #include of include/ and agent/ against the table of imports.

Usage: import_table_test.py SOURCE_ROOT [unittest arguments]
"""
import pathlib
import re
import sys
import tempfile
import unittest

# Room -> rooms it may import. docs/architecture.md has the same table in prose.
IMPORTS = {
    "include": set(),
    "base": set(),
    "model": {"base"},
    "analysis": {"model"},
    "format": {"model", "base"},
    "symbols": {"model", "base"},
    "sources": {"include", "symbols", "model", "base"},
    "snapshot": {"sources", "symbols", "analysis", "model", "base"},
    "triggers": {"base"},
    "runtime": {"include", "base", "model", "analysis", "format", "symbols", "sources", "snapshot",
                "triggers"},
    "throws": {"include"},
    "cli": {"format", "analysis", "symbols", "model", "base"},
}

# Library -> how its headers begin, and the files that may include them.
LIBRARIES = {
    "spdlog": (("spdlog/", "fmt/"), r"agent/base/log[^/]*\.cpp|include/corodump/spdlog\.hpp"),
    "nlohmann": (("nlohmann/",), r"agent/format/(dump_)?reader_?[^/]*"),
    "CLI11": (("CLI/",), r"agent/cli/.*"),
    "libunwind": (("libunwind", "unwind.h"), r"agent/symbols/.*"),
    "asio": (("boost/", "asio/", "asio.hpp"), r"include/corodump/(detail/)?asio[^/]*(/.*)?"),
    "test": (("gtest/", "gmock/", "benchmark/"), r"$^"),
}

# format has two halves; agent/format/CMakeLists.txt divides them in the same way.
READER = re.compile(r"agent/format/((dump_)?reader|dump\.hpp)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def room_of(path):
    parts = pathlib.PurePosixPath(path).parts
    return "include" if parts[0] == "include" else parts[1]


def room_of_include(header):
    if header.startswith("corodump/"):
        return "include"
    if header.startswith("agent/") and header.count("/") >= 2:
        return header.split("/")[1]
    return None


def fault(root, path, quote, header):
    """What is wrong with this include of `path`, or None."""
    room = room_of(path)
    if quote == '"' and room == "include":
        # Relative, so that two installed versions do not read each other's parts.
        file = (root / path).parent.joinpath(header).resolve()
        inside = file.is_relative_to((root / "include" / "corodump").resolve())
        return None if inside and file.is_file() else "no public header"
    target = room_of_include(header)
    if target is not None:
        if target != room and target not in IMPORTS.get(room, set()):
            return f"{room} may not import {target}"
        if READER.match(header) and not READER.match(path) and room != "cli":
            return "only the command may import the reader"
        where = root / ("include" if target == "include" else ".") / header
        return None if where.is_file() else "no such file"
    if quote == '"':
        return 'a quoted include names the file from the root, "agent/<room>/<file>"'
    for library, (prefixes, allowed) in LIBRARIES.items():
        if header.startswith(prefixes):
            return None if re.fullmatch(allowed, path) else f"{library} has no place here"
    return None


def faults(root):
    found = []
    for folder in ("include", "agent"):
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in (".hpp", ".cpp", ".inc", ".h", ".c"):
                continue
            path = file.relative_to(root).as_posix()
            if room_of(path) not in IMPORTS:
                found.append(f"{path}: a room that the table does not know")
            for match in INCLUDE.finditer(file.read_text(encoding="utf-8")):
                what = fault(root, path, *match.groups())
                if what:
                    found.append(f"{path}: includes {match.group(2)}: {what}")
    return found


class Tree(unittest.TestCase):
    def test_obeys_the_table(self):
        self.assertEqual([], faults(ROOT))

    def test_has_every_room_of_the_table(self):
        rooms = {p.name for p in (ROOT / "agent").iterdir() if p.is_dir()} | {"include"}
        self.assertEqual(set(IMPORTS), rooms)


class Table(unittest.TestCase):
    def test_has_no_circle(self):
        done = set()
        while len(done) < len(IMPORTS):
            ready = {room for room, imports in IMPORTS.items() if imports <= done} - done
            self.assertTrue(ready, f"a circle among {set(IMPORTS) - done}")
            done |= ready


class Checker(unittest.TestCase):
    """A checker that finds nothing proves nothing: each rule broken once."""

    def found_in(self, path, line):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in (path, "agent/base/a.hpp", "agent/sources/a.hpp", "agent/format/reader.hpp",
                         "agent/cli/a.hpp", "include/corodump/agent.hpp"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("")
            (root / path).write_text(line + "\n")
            return faults(root)

    def test_accepts_what_the_table_allows(self):
        for path, line in (
            ("agent/sources/b.cpp", '#include "agent/base/a.hpp"'),
            ("agent/sources/b.cpp", "#include <corodump/agent.hpp>"),
            ("agent/format/reader.cpp", "#include <nlohmann/json.hpp>"),
            ("agent/triggers/b.cpp", "#include <linux/futex.h>"),
            ("include/corodump/detail/b.hpp", '#include "../agent.hpp"'),
        ):
            self.assertEqual([], self.found_in(path, line), (path, line))

    def test_refuses_what_it_forbids(self):
        for path, line in (
            ("agent/runtime/b.cpp", '#include "agent/format/reader.hpp"'),
            ("agent/base/b.cpp", '#include "agent/sources/a.hpp"'),
            ("agent/triggers/b.cpp", "#include <corodump/agent.hpp>"),
            ("agent/runtime/b.cpp", '#include "agent/cli/a.hpp"'),
            ("agent/format/json_writer.cpp", "#include <nlohmann/json.hpp>"),
            ("agent/format/dump_writer.cpp", '#include "agent/format/reader.hpp"'),
            ("agent/snapshot/b.cpp", "#include <spdlog/spdlog.h>"),
            ("include/corodump/agent.hpp", '#include "agent/base/a.hpp"'),
            ("include/corodump/agent.hpp", "#include <boost/asio.hpp>"),
            ("agent/base/b.cpp", '#include "a.hpp"'),
            ("agent/base/b.cpp", '#include "agent/base/gone.hpp"'),
            ("agent/plumbing/b.cpp", "#include <vector>"),
            ("agent/base/b.cpp", '  #  include "agent/sources/a.hpp"'),
        ):
            self.assertEqual(1, len(self.found_in(path, line)), (path, line))


if __name__ == "__main__":
    ROOT = pathlib.Path(sys.argv.pop(1))
    unittest.main()
