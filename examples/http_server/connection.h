// One HTTP connection: requests in, files out, as long as the client keeps it.
#ifndef EXAMPLES_HTTP_SERVER_CONNECTION_H_
#define EXAMPLES_HTTP_SERVER_CONNECTION_H_

#include "examples/http_server/file_cache.h"
#include "netstack/host/shard.h"
#include "netstack/socket/tcp_stream.h"
#include "runtime/core/task.h"

namespace http_server {

weir::Task<void> ServeConnection(weir::Shard& shard, FileCache& files, weir::TcpStream stream);

}  // namespace http_server

#endif  // EXAMPLES_HTTP_SERVER_CONNECTION_H_
