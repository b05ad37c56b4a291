// The layout that the headers compile into services, for the rooms that read it.
#pragma once

#include <corodump/detail/abi.hpp>  // IWYU pragma: export
