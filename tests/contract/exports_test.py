#!/usr/bin/env python3
"""What libcorodump.so shows to its host, and what it brings along.

Usage: exports_test.py LIBRARY OBJECT_OF_THROWS OBJECT_OF_TRIGGERS...
"""
import re
import sys
import unittest

import binaries

# All that the agent puts in the place of libc's: agent/triggers/spawn_wrappers.cpp.
INTERPOSED = {
    "posix_spawn", "posix_spawnp", "system", "popen", "execl", "execle", "execlp", "execv", "execve",
    "execveat", "execvp", "execvpe", "fexecve",
}

# What every C++ program on the machine has anyway, and the sanitizers' own where it is built so.
NEEDED = re.compile(r"(libstdc\+\+|libm|libgcc_s|libc|ld-linux[-_a-z0-9]*"
                    r"|libasan|libubsan|libtsan)\.so\.\d+")


class Exports(unittest.TestCase):
    def test_are_corodumps_own_and_the_interposed_list(self):
        others = {name for name in binaries.dynamic_symbols(LIBRARY)
                  if not name.startswith("corodump_")}
        self.assertEqual(set(), others - INTERPOSED)

    def test_hold_at_least_one_name(self):
        own = [name for name in binaries.dynamic_symbols(LIBRARY) if name.startswith("corodump_")]
        self.assertTrue(own)

    def test_carry_no_version(self):
        # A host's posix_spawn@GLIBC_2.15 would not bind to a name with a version of ours.
        self.assertEqual(set(), binaries.exported_versions(LIBRARY))

    def test_hold_all_that_the_wrappers_define(self):
        self.assertEqual(set(), WRAPPERS & INTERPOSED - binaries.dynamic_symbols(LIBRARY))


class Interposition(unittest.TestCase):
    def test_is_the_whole_list(self):
        self.assertEqual(set(), INTERPOSED - WRAPPERS)

    def test_is_defined_nowhere_else(self):
        for other in OBJECTS:
            if other != WRAPPERS_OBJECT:
                self.assertEqual(set(), binaries.defined_symbols(other) & INTERPOSED, other)


class Throws(unittest.TestCase):
    """corodump::throws, which a service links if it wants the stacks of its throws."""

    def test_defines_one_function_of_the_runtimes(self):
        defined = {name for name in binaries.defined_symbols(THROWS) if not name.startswith("_ZN")}
        self.assertEqual({"__cxa_throw"}, defined)

    def test_is_not_part_of_the_library(self):
        self.assertNotIn("__cxa_throw", binaries.dynamic_symbols(LIBRARY))


class Dependencies(unittest.TestCase):
    def test_are_the_language_runtime_alone(self):
        needed = binaries.dynamic_section(LIBRARY).get("NEEDED", [])
        names = [value.split("[")[1].rstrip("]") for value in needed]
        self.assertTrue(names)
        self.assertEqual([], [name for name in names if not NEEDED.fullmatch(name)])

    def test_flags_keep_it_loaded_and_bound_at_load(self):
        section = binaries.dynamic_section(LIBRARY)
        flags = " ".join(section.get("FLAGS", []) + section.get("FLAGS_1", []))
        self.assertIn("NODELETE", flags)
        self.assertIn("NOW", flags)

    def test_soname_has_the_major_version(self):
        self.assertRegex(binaries.dynamic_section(LIBRARY)["SONAME"][0], r"\[libcorodump\.so\.\d+\]")


if __name__ == "__main__":
    LIBRARY = sys.argv[1]
    THROWS = sys.argv[2]
    OBJECTS = sys.argv[3].split(";") if len(sys.argv) == 4 else sys.argv[3:]
    WRAPPERS_OBJECT = binaries.object_of("spawn_wrappers.cpp", OBJECTS)
    WRAPPERS = binaries.defined_symbols(WRAPPERS_OBJECT)
    unittest.main(argv=sys.argv[:1])
