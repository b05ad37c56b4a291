#!/usr/bin/env python3
"""Holds the variables that an agent reads against README.md and the manual page: each is told of in both,
and neither tells of one that nobody reads.

Usage: environment_test.py SOURCE_ROOT [unittest arguments]
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
NAME = r"CORODUMP_[A-Z_]+"


def names_in(path, pattern):
    return set(re.findall(pattern, (ROOT / path).read_text()))


class Environment(unittest.TestCase):
    read = names_in("agent/base/config.cpp", rf'"({NAME})"')

    def test_there_are_variables(self):
        self.assertIn("CORODUMP_DIR", self.read)

    def test_the_readme_has_a_row_for_each(self):
        self.assertEqual(names_in("README.md", rf"(?m)^\| `({NAME})` \|"), self.read)

    def test_the_manual_page_tells_of_each(self):
        self.assertEqual(names_in("packaging/man/corodump.1", rf"(?m)^\.BR ({NAME}) ="), self.read)


if __name__ == "__main__":
    unittest.main()
