// asio_echo: TCP echo with Boost.Asio's C++20 coroutines, one thread, tuned as its documentation advises for one: a
// concurrency hint of 1, which takes the locks out.
//
//   asio_echo PORT

// Debian 12's Asio looks for the coroutine TS under clang; the standard's header is there.
#define BOOST_ASIO_HAS_CO_AWAIT 1
#define BOOST_ASIO_HAS_STD_COROUTINE 1
#include <utility>  // which awaitable.hpp of that version needs and does not include

#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

asio::awaitable<void> Echo(tcp::socket socket) {
  char buffer[16384];
  boost::system::error_code error;
  for (;;) {
    const size_t n =
        co_await socket.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    co_await asio::async_write(socket, asio::buffer(buffer, n), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
  }
}

asio::awaitable<void> Listen(tcp::acceptor acceptor) {
  for (;;) {
    tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    socket.set_option(tcp::no_delay(true));
    asio::co_spawn(acceptor.get_executor(), Echo(std::move(socket)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 2 ? std::atoi(argv[1]) : 0;
  if (port <= 0) {
    std::fprintf(stderr, "usage: asio_echo PORT\n");
    return 2;
  }
  try {
    asio::io_context context(1);
    tcp::acceptor acceptor(context, tcp::endpoint(tcp::v6(), static_cast<unsigned short>(port)));
    asio::co_spawn(context, Listen(std::move(acceptor)), asio::detached);
    std::printf("asio_echo: ready on port %d\n", port);
    std::fflush(stdout);
    context.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "asio_echo: %s\n", error.what());
    return 1;
  }
}
