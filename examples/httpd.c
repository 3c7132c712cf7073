/*
 * The parent of a prefork HTTP server: it listens, attaches, opens the cache,
 * forks the workers, and forks another for each that dies.  examples/httpd.h
 * says how the server works.
 *
 *	httpd [-p PORT] [-w WORKERS] [-t TTL_MS] [-l LIMIT_KIB] [-m LARGEST_KIB]
 *	    FOLDER
 *	httpd -r
 *
 * Serves the regular files below FOLDER on 127.0.0.1 until SIGTERM or SIGINT,
 * and figures at /stats.  The cache outlives the server: the next one begins
 * with it.  -r removes it, if no server runs.
 */
#define _GNU_SOURCE /* O_PATH, SOCK_CLOEXEC */

#include "examples/httpd.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG  1024
#define YOUNG_MS 1000 /* who dies younger is succeeded that much later */

/* A worker's place. */
struct place {
	pid_t pid;        /* 0: none */
	int64_t start_ms; /* when it was started, or is to be */
};

/* ---- The command line ------------------------------------------------ */

static const struct option_number {
	char letter;
	uint64_t least, most;
	size_t member; /* of struct httpd_options */
} numbers[] = {
	{ 'p', 0, 65535, offsetof(struct httpd_options, port) },
	{ 'w', 1, HTTPD_WORKERS, offsetof(struct httpd_options, workers) },
	{ 't', 0, 86400000, offsetof(struct httpd_options, ttl_ms) },
	{ 'l', 0, UINT64_C(1) << 40, offsetof(struct httpd_options, limit) },
	{ 'm', 0, 1 << 20, offsetof(struct httpd_options, largest) },
};

static _Noreturn void
usage(void)
{
	fputs("usage: httpd [-p PORT] [-w WORKERS] [-t TTL_MS] [-l LIMIT_KIB]\n"
	      "    [-m LARGEST_KIB] FOLDER\n"
	      "       httpd -r\n",
	    stderr);
	exit(2);
}

static void
number_parse(struct httpd_options *options, int letter, const char *text)
{
	const struct option_number *number = numbers;
	uint64_t value;
	char *end;

	while (number->letter != letter)
		if (++number == numbers + sizeof(numbers) / sizeof(numbers[0]))
			usage();
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' ||
	    value < number->least || value > number->most)
		errx(2, "-%c %s: not a number from %" PRIu64 " to %" PRIu64,
		    letter, text, number->least, number->most);
	memcpy((char *)options + number->member, &value, sizeof(value));
}

/* ---- The cache ------------------------------------------------------- */

static struct shmalloc *
heap_attach(void)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	return heap;
}

/* A cache that exists keeps its limit, so it is set. */
static struct shmalloc_cache *
cache_open(struct shmalloc *heap, uint64_t limit)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	struct shmalloc_cache *cache;
	int error;

	options.bytes = limit;
	options.stale_ms = HTTPD_STALE_MS;
	error = shmalloc_cache_open(heap, HTTPD_NAME, &options, &cache);
	if (error == 0)
		error = shmalloc_cache_limit(cache, limit);
	if (error != 0)
		errx(1, "cache: %s", shmalloc_cache_strerror(error));
	return cache;
}

/* Who serves would go on counting in memory that is another's then. */
static void
none_serves(struct shmalloc *heap)
{
	const struct httpd_board *board = httpd_board_open(heap);

	if (board == NULL)
		err(1, "counters");
	for (unsigned i = 0; i < HTTPD_WORKERS; i++) {
		pid_t pid = (pid_t)atomic_load(&board->row[i].pid);

		if (pid > 0 && (kill(pid, 0) == 0 || errno == EPERM))
			errx(1, "process %d serves: end it first", (int)pid);
	}
}

/* -r: remove the cache and the counters. */
static void
cache_remove(void)
{
	struct shmalloc *heap = heap_attach();
	struct shmalloc_cache *cache;
	int error;

	none_serves(heap);
	cache = cache_open(heap, 0);
	error = shmalloc_cache_destroy(cache);
	if (error != 0)
		errx(1, "cache: %s", shmalloc_cache_strerror(error));
	shmalloc_cache_close(cache);
	error = httpd_board_remove(heap);
	if (error != 0)
		errx(1, "counters: %s", shmalloc_strerror(error));
	shmalloc_detach(heap);
}

/* ---- Workers --------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* The child blocks what the parent does until it has handlers. */
static void
worker_fork(const struct httpd *httpd, struct place *place, unsigned i)
{
	struct httpd_row *row = &httpd->board->row[i];
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		/* A parent that is killed leaves no worker behind. */
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 ||
		    getppid() != parent)
			_exit(1);
		_exit(httpd_work(httpd, i));
	}
	if (pid < 0) {
		warn("fork");
		place->start_ms = now_ms() + YOUNG_MS;
		return;
	}
	*place = (struct place){ .pid = pid, .start_ms = now_ms() };
	atomic_store(&row->pid, (uint64_t)pid);
	atomic_fetch_add(&row->starts, 1);
}

/* Note who has died. */
static void
workers_reap(const struct httpd *httpd, struct place place[])
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		unsigned i = 0;
		bool is_young;

		while (i < httpd->options->workers && place[i].pid != pid)
			i++;
		if (i == httpd->options->workers)
			continue;
		if (WIFSIGNALED(status))
			warnx("worker %u (process %d) was killed by signal %d: "
			      "another takes its place",
			    i + 1, (int)pid, WTERMSIG(status));
		else
			warnx("worker %u (process %d) ended with status %d: "
			      "another takes its place",
			    i + 1, (int)pid, WEXITSTATUS(status));
		is_young = now_ms() - place[i].start_ms < YOUNG_MS;
		place[i].pid = 0;
		place[i].start_ms = now_ms() + (is_young ? YOUNG_MS : 0);
		atomic_store(&httpd->board->row[i].pid, 0);
	}
}

/* Start those who are due; how long, in ms, until the next one is. */
static int64_t
workers_start(const struct httpd *httpd, struct place place[])
{
	int64_t wait = 60 * 60 * 1000;

	for (unsigned i = 0; i < httpd->options->workers; i++) {
		int64_t left;

		if (place[i].pid != 0)
			continue;
		left = place[i].start_ms - now_ms();
		if (left <= 0)
			worker_fork(httpd, &place[i], i);
		else if (left < wait)
			wait = left;
	}
	return wait;
}

/* Keep the workers running until SIGTERM or SIGINT; SIGNALS are blocked. */
static void
workers_keep(
    const struct httpd *httpd, struct place place[], const sigset_t *signals)
{
	int number = 0;

	while (number != SIGTERM && number != SIGINT) {
		int64_t wait = workers_start(httpd, place);
		struct timespec pause = { .tv_sec = wait / 1000,
			.tv_nsec = wait % 1000 * 1000000 };

		number = sigtimedwait(signals, NULL, &pause);
		workers_reap(httpd, place);
	}
}

/* End them; false: not all ended as they should. */
static bool
workers_stop(const struct httpd *httpd, const struct place place[])
{
	bool is_clean = true;

	for (unsigned i = 0; i < httpd->options->workers; i++)
		if (place[i].pid != 0)
			kill(place[i].pid, SIGTERM);
	for (unsigned i = 0; i < httpd->options->workers; i++) {
		int status = 0;

		if (place[i].pid != 0 && waitpid(place[i].pid, &status, 0) < 0)
			warn("waitpid");
		is_clean = is_clean && status == 0;
		atomic_store(&httpd->board->row[i].pid, 0);
	}
	return is_clean;
}

/* ---- The whole ------------------------------------------------------- */

/* A socket of 127.0.0.1:PORT; without is_shared nobody else may have it. */
static int
socket_make(uint16_t port, bool is_shared)
{
	const int one = 1, shared = is_shared;
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)) !=
		0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		err(1, "port %u", port);
	return fd;
}

/* PORT, or, if that is 0, a free one; an error if another program has it. */
static uint16_t
port_choose(uint16_t port)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	int fd = socket_make(port, false);

	if (listen(fd, 1) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		err(1, "port %u", port);
	close(fd);
	return ntohs(at.sin_port);
}

/* Listen for each worker, and say where. */
static void
sockets_listen(struct httpd *httpd)
{
	uint16_t port = port_choose((uint16_t)httpd->options->port);

	for (unsigned i = 0; i < httpd->options->workers; i++) {
		httpd->listener[i] = socket_make(port, true);
		if (listen(httpd->listener[i], BACKLOG) != 0)
			err(1, "port %u", port);
	}
	printf("http://127.0.0.1:%u/\n", port);
	if (fflush(stdout) != 0)
		err(1, "standard output");
}

static int
serve(const struct httpd_options *options)
{
	static struct place place[HTTPD_WORKERS];
	struct shmalloc *heap = heap_attach();
	struct httpd httpd = { .options = options,
		.root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	struct stat root;
	sigset_t signals;

	if (httpd.root < 0 || fstat(httpd.root, &root) != 0)
		err(1, "%s", options->root);
	httpd.root_id[0] = root.st_dev;
	httpd.root_id[1] = root.st_ino;
	httpd.cache = cache_open(heap, options->limit * 1024);
	httpd.board = httpd_board_open(heap);
	if (httpd.board == NULL)
		err(1, "counters");
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sockets_listen(&httpd);
	workers_keep(&httpd, place, &signals);
	return workers_stop(&httpd, place) ? 0 : 1;
}

int
main(int argc, char *argv[])
{
	struct httpd_options options = {
		.workers = 4, .ttl_ms = 1000, .largest = 1024
	};
	bool is_removal = false;
	int letter;

	while ((letter = getopt(argc, argv, "p:w:t:l:m:r")) != -1)
		if (letter == 'r')
			is_removal = true;
		else
			number_parse(&options, letter, optarg);
	if (argc - optind != (is_removal ? 0 : 1))
		usage();
	if (is_removal) {
		cache_remove();
		return 0;
	}
	options.root = argv[optind];
	return serve(&options);
}
