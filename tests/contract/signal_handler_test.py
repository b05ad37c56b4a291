#!/usr/bin/env python3
"""What the object with the signal handler may call: it must hold at the worst of moments.

Usage: signal_handler_test.py OBJECT_OF_TRIGGERS...
"""
import re
import sys
import unittest

import binaries

ALLOWED = {
    "syscall",  # futex(2), which has no wrapper
    "__errno_location",
    "__stack_chk_fail",
    "_GLOBAL_OFFSET_TABLE_",
}
# The instrumentation of -fsanitize=, which allocates nothing.
SANITIZER = re.compile(r"__(asan|ubsan|tsan)_\w+")


class SignalHandler(unittest.TestCase):
    def test_calls_only_what_is_allowed(self):
        undefined = binaries.undefined_symbols(OBJECT)
        others = {name for name in undefined - ALLOWED if not SANITIZER.fullmatch(name)}
        self.assertEqual([], sorted(binaries.demangled(others)) if others else [])

    def test_was_found(self):
        self.assertTrue(binaries.defined_symbols(OBJECT))


if __name__ == "__main__":
    OBJECTS = sys.argv[1].split(";") if len(sys.argv) == 2 else sys.argv[1:]
    OBJECT = binaries.object_of("signal_handler.cpp", OBJECTS)
    unittest.main(argv=sys.argv[:1])
