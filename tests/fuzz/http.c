/*
 * Fuzzes the daemon's HTTP: the input is what peers do on its socket, which is
 * real, as is all behind it up to the segment's memory.
 *
 * The input is a list of records.  The first byte of each says what a peer
 * does: its low 3 bits are one of the acts below, the others its argument.
 */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/http.h"
#include "server/http_conn.h"
#include "server/job.h"
#include "server/reap.h"
#include "server/server.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/peers.h"

#define PEERS     8
#define ACTS_MAX  64
#define TURNS_MAX 1000

enum act {
	ACT_SEND, /* bytes as they are */
	ACT_GET,  /* a request for the path that follows, with a right host */
	ACT_TURN, /* let the daemon work */
	ACT_READ, /* read what it answered */
	ACT_END,  /* end our side, or close */
	ACT_PEER, /* go on as another peer */
	ACTS,
};

static struct server server;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int peers[PEERS];
/* Of each answer, the first bytes. */
static char heads[PEERS][8];
static size_t head_lens[PEERS];
static unsigned peer;

/* ---- The daemon ------------------------------------------------------------
 */

static void
socket_remove(void)
{
	http_stop(&server, false);
	*strrchr(address.sun_path, '/') = '\0';
	(void)rmdir(address.sun_path);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct server_options options = { 0 };
	struct kept_list kept = { 0 };
	char path[] = "/tmp/shmalloc-fuzz-XXXXXX", reason[CONFIG_REASON_LEN];
	char assignment[128];

	(void)argc;
	(void)argv;
	log_set_level(LOG_LEVEL_ERROR);
	/* As the daemon does. */
	signal(SIGPIPE, SIG_IGN);
	FUZZ_CHECK(mkdtemp(path));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/http", path);
	snprintf(assignment, sizeof(assignment), "http=unix:%s/http", path);
	server.options = &options;
	server.store.link = server.heir = -1;
	server.policy.uid = geteuid();
	server.policy.admin_group = PEER_NO_GROUP;
	server.policy.monitor_group = PEER_ANY_GROUP;
	config_init(&server.config);
	FUZZ_CHECK(config_assign(&server.config, assignment, reason) == 0);
	TAILQ_INIT(&server.segments);
	server.base = event_base_new();
	FUZZ_CHECK(server.base);
	FUZZ_CHECK(reap_init(&server.reaper, server.base) == 0);
	peers_segment_make(&server);
	FUZZ_CHECK(http_open(&server, &kept) == 0);
	(void)atexit(socket_remove);
	return 0;
}

static void
turn(void)
{
	peers_turn(&server);
	FUZZ_CHECK(http_connections(&server) <= HTTP_CONNS + HTTP_EXTRA);
}

/* ---- The peers -------------------------------------------------------------
 */

static void
peer_open(unsigned i)
{
	peers[i] = peers_connect(&address);
	head_lens[i] = 0;
}

static void
text_send(const void *text, size_t len)
{
	(void)send(peers[peer], text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
bytes_send(struct fuzz_input *input, enum act act, unsigned argument)
{
	static const char tail[] = " HTTP/1.1\r\nHost: localhost\r\n";
	static const char packed[] = "Accept-Encoding: gzip\r\n";
	size_t len = (size_t)fuzz_take(input, 1) + (argument >> 1) * 256;

	len = len < input->len ? len : input->len;
	if (act == ACT_GET)
		text_send("GET /", 5);
	text_send(input->data, len);
	input->data += len;
	input->len -= len;
	if (act != ACT_GET)
		return;
	text_send(tail, sizeof(tail) - 1);
	if (argument & 1)
		text_send(packed, sizeof(packed) - 1);
	text_send("\r\n", 2);
}

/* Whatever was asked, what comes is an answer of HTTP; of the version that was
 * asked in, for evhttp has it so. */
static void
answer_read(unsigned i)
{
	static char buf[65536];
	ssize_t n;

	while ((n = recv(peers[i], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		for (ssize_t j = 0; j < n && head_lens[i] < 5; j++)
			heads[i][head_lens[i]++] = buf[j];
	FUZZ_CHECK(memcmp(heads[i], "HTTP/", head_lens[i]) == 0);
}

static void
peer_end(unsigned argument)
{
	if (argument & 1) {
		(void)shutdown(peers[peer], SHUT_WR);
		return;
	}
	close(peers[peer]);
	peers[peer] = -1;
}

static void
act_run(struct fuzz_input *input)
{
	unsigned head = (unsigned)fuzz_take(input, 1), argument = head >> 3;
	enum act act = (head & 7) % ACTS;

	if (act == ACT_PEER)
		peer = argument % PEERS;
	if (peers[peer] < 0)
		peer_open(peer);
	if (peers[peer] < 0 || act == ACT_TURN)
		turn();
	else if (act == ACT_READ)
		answer_read(peer);
	else if (act == ACT_END)
		peer_end(argument);
	else if (act != ACT_PEER)
		bytes_send(input, act, argument);
}

/* ---- One input --------------------------------------------------------------
 */

/* All peers leave; nothing of them is left. */
static void
peers_end(void)
{
	turn();
	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i] >= 0) {
			answer_read(i);
			close(peers[i]);
		}
	/* A walk may be under way; and a timer ends each wait. */
	for (int i = 0; http_connections(&server) > 0; i++) {
		FUZZ_CHECK(i < TURNS_MAX);
		FUZZ_CHECK(event_base_loop(server.base, EVLOOP_ONCE) >= 0);
	}
	job_stop(&server);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input input = { data, len };
	int before = peers_fds();

	for (unsigned i = 0; i < PEERS; i++)
		peers[i] = -1;
	peer = 0;
	for (int i = 0; i < ACTS_MAX && input.len > 0; i++)
		act_run(&input);
	peers_end();
	FUZZ_CHECK(peers_fds() <= before);
	/* It changed nothing: see server/http.h. */
	FUZZ_CHECK(segment_count(&server) == 1 &&
	    TAILQ_FIRST(&server.segments)->seg.tunables->generation == 2);
	return 0;
}
