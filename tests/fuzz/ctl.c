/*
 * Fuzzes shmallocctl against a daemon that answers what it likes.  The first
 * byte of the input says which command is run, and whether it finds a terminal;
 * the others are the answer: each command's own fields, or, if the byte's upper
 * bit is set, the bytes of the stream as they are.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/ctl_main.h"
#include "tests/fuzz/fuzz.h"

#undef main
#undef isatty

#define WORDS_MAX 8
#define FRAME_MAX (1u << 20)

static char dir[] = "/tmp/shmalloc-fuzz-XXXXXX";
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener;
static bool is_terminal;

static const char *const commands[][WORDS_MAX] = {
	{ "status" },
	{ "stats" },
	{ "stats", "--by", "bin", "--exact" },
	{ "stats", "--by", "client" },
	{ "clients" },
	{ "map" },
	{ "map", "--ascii", "--width", "8" },
	{ "tune", "list", "-l" },
	{ "tune", "list", "--changed" },
	{ "tune", "get", "decay_ms" },
	{ "tune", "set", "decay_ms=1" },
	{ "tune", "reset", "--all" },
	{ "trim" },
	{ "check" },
	{ "segment", "list" },
	{ "segment", "create", "x", "--size", "1M" },
	{ "segment", "destroy", "x", "--yes" },
	{ "roots" },
	{ "roots", "--remove", "x", "--yes" },
	{ "version" },
	{ "stats", "--json" },
	{ "clients", "--json" },
	{ "map", "--json" },
	{ "tune", "list", "--json" },
	{ "check", "--json", "--repair" },
	{ "roots", "--json" },
	{ "locks" },
	{ "locks", "--json" },
	{ "stats", "--long" },
	{ "stats", "--by", "lock" },
	{ "top", "--batch", "-n", "1", "--by", "bin" },
	{ "fit", "64K", "--count", "9" },
	{ "fit", "1", "--json" },
	{ "doctor" },
	{ "metrics" },
	{ "tune", "diff" },
	{ "tune", "save" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

int
ctl_isatty(int fd)
{
	return is_terminal && fd == STDOUT_FILENO;
}

static void
dir_remove(void)
{
	(void)unlink(address.sun_path);
	(void)rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)argc;
	(void)argv;
	FUZZ_CHECK(mkdtemp(dir));
	(void)snprintf(
	    address.sun_path, sizeof(address.sun_path), "%s/control", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(listener, 4) == 0);
	FUZZ_CHECK(setenv("SHMALLOC_SOCKET", dir, 1) == 0);
	FUZZ_CHECK(setenv("COLUMNS", "60", 1) == 0);
	FUZZ_CHECK(dup2(null, STDOUT_FILENO) == STDOUT_FILENO);
	(void)atexit(dir_remove);
	return 0;
}

/* ---- The daemon -------------------------------------------------------------
 */

/* What it sends, once, to whoever connects. */
struct answer {
	uint8_t *data;
	size_t len;
};

static void *
daemon_run(void *arg)
{
	const struct answer *answer = arg;
	int fd = accept(listener, NULL, NULL);
	size_t done = 0;
	ssize_t n = 1;
	char buf[4096];

	FUZZ_CHECK(fd >= 0);
	/* What it is asked doesn't matter. */
	(void)!read(fd, buf, sizeof(buf));
	for (; done < answer->len && n > 0; done += (size_t)n)
		n = send(
		    fd, answer->data + done, answer->len - done, MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
	while (read(fd, buf, sizeof(buf)) > 0)
		continue;
	close(fd);
	return NULL;
}

/* The input's bytes, in a frame that says their length. */
static void
answer_make(struct answer *answer, const uint8_t *data, size_t len, bool is_raw)
{
	size_t head = is_raw ? 0 : 4;

	answer->len = head + len;
	answer->data = malloc(answer->len + 1);
	FUZZ_CHECK(answer->data);
	for (size_t i = 0; i < head; i++)
		answer->data[i] = (uint8_t)(len >> (8 * i));
	if (len > 0)
		memcpy(answer->data + head, data, len);
}

/* ---- One input
 * --------------------------------------------------------------- */

static void
command_run(const char *const words[WORDS_MAX])
{
	char text[WORDS_MAX][32], *argv[WORDS_MAX + 2];
	char name[] = "shmallocctl";
	int argc = 1;

	argv[0] = name;
	for (int i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "%s", words[i]);
		argv[argc++] = text[i];
	}
	argv[argc] = NULL;
	FUZZ_CHECK(ctl_main(argc, argv) >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input input = { data, len };
	unsigned head = (unsigned)fuzz_take(&input, 2);
	struct answer answer;
	pthread_t daemon;

	if (input.len > FRAME_MAX)
		return 0;
	is_terminal = head >> 8 & 1;
	answer_make(&answer, input.data, input.len, head >> 9 & 1);
	FUZZ_CHECK(pthread_create(&daemon, NULL, daemon_run, &answer) == 0);
	command_run(commands[(head & 255) % COMMANDS]);
	FUZZ_CHECK(pthread_join(daemon, NULL) == 0);
	free(answer.data);
	return 0;
}
