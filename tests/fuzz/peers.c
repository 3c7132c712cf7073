/*
 * See peers.h.
 */
#include "tests/fuzz/peers.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/segment.h"
#include "server/server.h"
#include "tests/fuzz/fuzz.h"

#define FDS_MAX 512

void
peers_segment_make(struct server *server)
{
	const struct segment_spec spec = { .name = "default",
		.size = UINT64_C(16) << 20,
		.reserve = UINT64_C(64) << 20,
		.mode = 0600,
		.owner = CONFIG_NOBODY,
		.group = CONFIG_NOBODY };
	struct segment *segment;
	const char *why;

	FUZZ_CHECK(segment_create(server, &spec, &segment, &why) == 0);
}

void
peers_turn(struct server *server)
{
	for (int i = 0; i < 3; i++)
		FUZZ_CHECK(event_base_loop(server->base, EVLOOP_NONBLOCK) >= 0);
}

int
peers_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	FUZZ_CHECK(fd >= 0);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) ==
	    0)
		return fd;
	close(fd);
	return -1;
}

int
peers_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}
