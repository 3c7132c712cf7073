/*
 * Fuzzes the daemon's conversations: the input is what peers do on its three
 * sockets, which are real, as is all behind them up to the segment's memory.
 *
 * The input is a list of records.  The first byte of each says what a peer
 * does: its low 3 bits are one of the acts below, the others its argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/attach.h"
#include "server/control.h"
#include "server/job.h"
#include "server/reap.h"
#include "server/server.h"
#include "server/slot.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/peers.h"

#define PEERS     4
#define ACTS_MAX  48
#define TURNS_MAX 10000

enum act {
	ACT_SEND,  /* bytes as they are */
	ACT_FRAME, /* bytes, with the length in front that they have */
	ACT_FDS,   /* a frame with descriptors */
	ACT_TURN,  /* let the daemon work */
	ACT_READ,  /* read what it answered */
	ACT_END,   /* end our side, or close */
	ACT_PEER,  /* go on as another peer, on the same or another socket */
	ACTS,
};

static struct server server;
static struct listener *const listeners[] = { &server.attach, &server.control,
	&server.control_ro };
static int peers[PEERS];
static unsigned peer;
static int kinds[5]; /* descriptors of several kinds */

/* ---- The daemon ------------------------------------------------------------
 */

static void
listener_make(struct listener *listener, const struct conn_ops *ops,
    int (*admit)(struct conn *conn, const char **ret_why))
{
	bool is_kept;

	listener->ops = ops;
	listener->owner = &server;
	listener->base = server.base;
	listener->max = 8;
	listener->admit = admit;
	FUZZ_CHECK(listen_open(listener, &server.dir, 0600, PEER_NO_GROUP, -1,
		       &is_kept) == 0);
}

static void
kinds_make(void)
{
	int pair[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	kinds[0] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	kinds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	kinds[2] = memfd_create("fuzz", MFD_CLOEXEC);
	kinds[3] = pair[0];
	kinds[4] = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 5; i++)
		FUZZ_CHECK(kinds[i] >= 0);
}

static void
dir_remove(void)
{
	for (int i = 0; i < 3; i++)
		listen_close(listeners[i]);
	rundir_close(&server.dir, false);
	(void)rmdir(server.dir.path);
}

/* An operator may have a client killed, and all of them are this process. */
static void
kill_forbid(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_send_signal, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	FUZZ_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	FUZZ_CHECK(
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* No file of the machine is read, nor written by `tune save`. */
	static const struct server_options options = {
		.is_default_config_off = true,
	};
	const struct rundir_kept before = { .lock_fd = -1 };
	char path[] = "/tmp/shmalloc-fuzz-XXXXXX";

	(void)argc;
	(void)argv;
	log_set_level(LOG_LEVEL_ERROR);
	FUZZ_CHECK(mkdtemp(path));
	FUZZ_CHECK(rundir_open(path, 0700, &before, &server.dir) == 0);
	server.options = &options;
	server.store.link = server.heir = -1;
	config_init(&server.config);
	TAILQ_INIT(&server.segments);
	server.base = event_base_new();
	FUZZ_CHECK(server.base);
	FUZZ_CHECK(reap_init(&server.reaper, server.base) == 0);
	server.policy.uid = geteuid();
	server.policy.admin_group = PEER_NO_GROUP;
	server.policy.monitor_group = PEER_ANY_GROUP;
	listener_make(&server.attach, &attach_ops, attach_admit);
	listener_make(&server.control, &control_ops, control_admit);
	listener_make(&server.control_ro, &control_ro_ops, control_admit);
	kinds_make();
	kill_forbid();
	peers_segment_make(&server);
	(void)atexit(dir_remove);
	return 0;
}

/* No connection holds more than its bound (V5), and counts agree (V2, V6). */
static void
invariants_check(void)
{
	struct segment *segment;

	for (int i = 0; i < 3; i++) {
		const struct listener *listener = listeners[i];
		const struct conn *conn;
		uint32_t n = 0;

		LIST_FOREACH(conn, &listener->conns, link)
		{
			n++;
			FUZZ_CHECK(conn->in.room <= listener->ops->max_in);
			FUZZ_CHECK(conn->out_len <=
			    PROTO_HEAD + (size_t)listener->ops->max_out);
		}
		FUZZ_CHECK(n == listener->n && n <= listener->max + 32);
	}
	TAILQ_FOREACH(segment, &server.segments, link)
	{
		uint32_t n = 0;

		for (uint32_t i = 0; i < SHM_CLIENTS; i++)
			n += segment->slots[i] != NULL;
		FUZZ_CHECK(n == segment->n_slots);
	}
}

static void
turn(void)
{
	peers_turn(&server);
	invariants_check();
}

/* ---- The peers -------------------------------------------------------------
 */

static void
peer_open(unsigned i, unsigned socket_kind)
{
	peers[i] = peers_connect(&listeners[socket_kind % 3]->address);
}

static void
fds_send(const void *data, size_t len, unsigned argument)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	unsigned n = argument % 8 + 1;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fds[8];

	for (unsigned i = 0; i < n; i++)
		fds[i] = kinds[(argument + i) % 5];
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	(void)sendmsg(peers[peer], &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Send bytes of the input, LEN at most, with or without a frame's head. */
static void
bytes_send(struct fuzz_input *input, enum act act, unsigned argument)
{
	size_t len = (size_t)fuzz_take(input, 1) + argument / 16 * 256;
	uint8_t frame[4 + 65536];

	len = len < input->len ? len : input->len;
	for (unsigned i = 0; i < 4; i++)
		frame[i] = (uint8_t)(len >> (8 * i));
	memcpy(frame + 4, input->data, len);
	input->data += len;
	input->len -= len;
	if (act == ACT_FDS)
		fds_send(frame, len + 4, argument);
	else
		(void)send(peers[peer], act == ACT_SEND ? frame + 4 : frame,
		    act == ACT_SEND ? len : len + 4,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Read all that came, descriptors too. */
static void
answer_read(void)
{
	static char buf[65536];
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	ssize_t n;

	do {
		struct iovec iov = { buf, sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf) };

		n = recvmsg(peers[peer], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n <= 0)
			break;
		for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
		     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
			int fd;

			for (size_t at = 0; at < cmsg->cmsg_len - CMSG_LEN(0);
			     at += sizeof(fd)) {
				memcpy(&fd, CMSG_DATA(cmsg) + at, sizeof(fd));
				close(fd);
			}
		}
	} while (n > 0);
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

	if (act == ACT_PEER) {
		peer = argument % PEERS;
		if (peers[peer] < 0)
			peer_open(peer, argument / PEERS);
	} else if (act == ACT_TURN) {
		turn();
	} else if (peers[peer] < 0) {
		peer_open(peer, argument);
	} else if (act == ACT_READ) {
		answer_read();
	} else if (act == ACT_END) {
		peer_end(argument);
	} else {
		bytes_send(input, act, argument);
	}
}

/* ---- One input --------------------------------------------------------------
 */

/* Is the one segment there, as it was made? */
static bool
segment_is_fresh(void)
{
	const struct segment *segment = TAILQ_FIRST(&server.segments);

	return segment != NULL && TAILQ_NEXT(segment, link) == NULL &&
	    strcmp(segment->name, "default") == 0 && !server.had_client &&
	    segment->seg.tunables->generation == 2;
}

/* All peers leave; nothing of them is left. */
static void
peers_end(void)
{
	struct segment *segment;

	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i] >= 0)
			close(peers[i]);
	for (int i = 0;
	     server.attach.n + server.control.n + server.control_ro.n > 0;
	     i++) {
		FUZZ_CHECK(i < TURNS_MAX);
		turn();
	}
	job_stop(&server);
	if (server.heir >= 0)
		close(server.heir);
	server.heir = -1;
	if (segment_is_fresh())
		return;
	while ((segment = TAILQ_FIRST(&server.segments)) != NULL)
		segment_destroy(&server, segment);
	turn();
	server.had_client = false;
	peers_segment_make(&server);
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
	turn();
	peers_end();
	FUZZ_CHECK(peers_fds() <= before);
	return 0;
}
