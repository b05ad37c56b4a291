// What corodump_install_v1 takes, as a host without corodump's headers would write it.
#pragma once

namespace chaos {

struct install_options {
    unsigned size_bytes = sizeof(install_options);
    int signal = 0;
    const char* directory = nullptr;
    unsigned long max_tasks = 0;
    unsigned max_files = 0, flags = 0;
    const char* redact = nullptr;
};

}  // namespace chaos
