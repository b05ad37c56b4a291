#!/usr/bin/env python3
"""What the objects with the signal handlers may call: they must hold at the worst of moments.

Usage: signal_handler_test.py OBJECT_OF_TRIGGERS_OR_SOURCES...
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
# The one that copies stacks: registers, the thread's state, and the slots it shares with the watchdog.
ALSO_FOR_STACKS = {"memcpy", "corodump_thread_v1", "_ZN8corodump7sources14stack_requestsE"}
# The instrumentation of -fsanitize=, which allocates nothing.
SANITIZER = re.compile(r"__(asan|ubsan|tsan)_\w+")


class SignalHandler(unittest.TestCase):
    def others(self, name, allowed):
        undefined = binaries.undefined_symbols(binaries.object_of(name, OBJECTS))
        others = {one for one in undefined - allowed if not SANITIZER.fullmatch(one)}
        return sorted(binaries.demangled(others)) if others else []

    def test_calls_only_what_is_allowed(self):
        self.assertEqual([], self.others("signal_handler.cpp", ALLOWED))

    def test_of_stacks_calls_only_what_is_allowed(self):
        self.assertEqual([], self.others("stack_signal_handler.cpp", ALLOWED | ALSO_FOR_STACKS))

    def test_was_found(self):
        for name in ("signal_handler.cpp", "stack_signal_handler.cpp"):
            self.assertTrue(binaries.defined_symbols(binaries.object_of(name, OBJECTS)))


if __name__ == "__main__":
    OBJECTS = [name for argument in sys.argv[1:] for name in argument.split(";")]
    unittest.main(argv=sys.argv[:1])
