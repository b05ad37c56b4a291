// What nearly every test reads first, compiled once for each way of linking: corodump_precompile().
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <corodump/agent.hpp>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>
#if defined(CORODUMP_PRECOMPILE_BOOST_ASIO)
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#elif defined(CORODUMP_PRECOMPILE_ASIO)
#include <asio.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#endif
