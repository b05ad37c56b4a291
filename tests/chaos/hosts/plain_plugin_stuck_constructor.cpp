// A module whose constructor never returns: whoever loads it holds the loader's lock for ever.
#include <unistd.h>

__attribute__((constructor)) static void never_returns() {
    static const char line[] = "stuck\n";
    if (write(1, line, sizeof line - 1) < 0) return;
    for (;;) pause();
}
