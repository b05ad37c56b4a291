#include <iostream>

#include "agent/cli/command_line.hpp"

int main(int argc, char** argv) {
    std::ios::sync_with_stdio(false);
    return corodump::cli::run_command_line(argc, argv, std::cout, std::cerr);
}
