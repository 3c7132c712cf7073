/*
 * shmallocd: serves segments of shared memory to many processes.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"
#include "server/keeper.h"
#include "server/log.h"
#include "server/onlooker.h"
#include "server/options.h"
#include "server/server.h"

static void
error_print(void *arg, const char *where, const char *reason)
{
	(void)arg;
	fprintf(stderr, "shmallocd: %s: %s\n", where, reason);
}

static int
config_check_run(const struct server_options *options)
{
	struct config config;
	int n_errors = server_configure(options, &config, error_print, NULL);
	config_release(&config);
	if (n_errors == 0)
		puts("The configuration is correct.");
	return n_errors == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
config_dump_run(const struct server_options *options)
{
	struct config config;
	int n_errors = server_configure(options, &config, error_print, NULL);
	if (n_errors == 0)
		config_dump(&config, stdout);
	config_release(&config);
	return n_errors == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- Background ---------------------------------------------------------- */

/* What the parent waits for, and where stderr went before. */
struct background {
	int pipe_fd; /* -1: in the foreground */
	struct stat err;
};

/* Whether the log goes to a file of its own by now. */
static bool
log_is_redirected(const struct background *background)
{
	struct stat st;
	return fstat(STDERR_FILENO, &st) == 0 &&
	    (st.st_dev != background->err.st_dev ||
		st.st_ino != background->err.st_ino);
}

/* Whoever waits for the end of our output need not wait for the daemon's. */
static void
output_leave(const struct background *background)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (!log_is_redirected(background))
		dup2(fd, STDERR_FILENO);
	close(fd);
}

/* Once: the keeper's next daemons find neither the pipe nor the output, and
 * something else has the pipe's number by then. */
static void
background_release(struct background *background)
{
	close(background->pipe_fd);
	background->pipe_fd = -1;
	output_leave(background);
}

/* Clients can attach: the parent, at the other end of the pipe, may end. */
static void
parent_release(void *arg)
{
	struct background *background = arg;
	if (background->pipe_fd < 0)
		return;
	if (write(background->pipe_fd, "", 1) != 1)
		fprintf(stderr, "shmallocd: the starting process has gone\n");
	background_release(background);
}

/* The same of a daemon whose keeper has told the parent. */
static void
output_release(void *arg)
{
	struct background *background = arg;
	if (background->pipe_fd >= 0)
		background_release(background);
}

/*
 * Go on in a child of our own session.  The parent ends with success when the
 * child serves, and with failure when it ends before.
 */
static int
background_enter(struct background *background)
{
	int fds[2];
	char byte;
	if (fstat(STDERR_FILENO, &background->err) != 0 ||
	    pipe2(fds, O_CLOEXEC) != 0)
		return SHM_ESYSTEM;
	pid_t pid = fork();
	if (pid < 0)
		return SHM_ESYSTEM;
	if (pid > 0) {
		close(fds[1]);
		_exit(
		    read(fds[0], &byte, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(fds[0]);
	background->pipe_fd = fds[1];
	return setsid() < 0 ? SHM_ESYSTEM : 0;
}

/* The keeper's lines look like its daemon's, who says what is wrong with the
 * configuration. */
static void
log_format_set(const struct server_options *options)
{
	struct config config;
	if (server_configure(options, &config, server_report_nothing, NULL) ==
	    0)
		log_set_format((enum log_format)config_number(
		    &config, NULL, CONFIG_LOG_FORMAT));
	config_release(&config);
}

/* What runs below the keeper. */
struct job {
	const struct options *options;
	struct background background;
};

static int
job_run(void *arg, struct keeper_legacy *legacy)
{
	struct job *job = arg;
	return server_run(
	    &job->options->server, legacy, output_release, &job->background);
}

static int
job_look(void *arg, const struct kept_list *kept, int fd)
{
	const struct job *job = arg;
	return onlooker_run(&job->options->server, kept, fd);
}

static void
job_ready(void *arg)
{
	struct job *job = arg;
	parent_release(&job->background);
}

static int
alone_run(const struct options *options, const struct kept_list *kept,
    struct background *background)
{
	struct keeper_legacy legacy = { .link = -1, .kept = *kept };
	return server_run(
	    &options->server, &legacy, parent_release, background);
}

static int
daemon_run(const struct options *options)
{
	struct background background = { .pipe_fd = -1 };
	struct kept_list kept = { 0 };
	if (store_inherit(&kept) != 0) {
		fprintf(stderr, "shmallocd: no memory for what was kept\n");
		kept_release(&kept);
		return EXIT_FAILURE;
	}
	if (options->is_background && background_enter(&background) != 0) {
		perror("shmallocd: cannot go into the background");
		kept_release(&kept);
		return EXIT_FAILURE;
	}
	if (options->has_no_keeper || store_is_offered())
		return alone_run(options, &kept, &background);
	log_format_set(&options->server);
	struct job job = { options, background };
	struct keeper_job keeper = { job_run, job_ready, job_look, &job, kept };
	return keeper_run(&keeper);
}

static int
action_run(const struct options *options)
{
	switch (options->action) {
	case OPTIONS_CHECK_CONFIG:
		return config_check_run(&options->server);
	case OPTIONS_DUMP_CONFIG:
		return config_dump_run(&options->server);
	case OPTIONS_HELP:
		options_help();
		return EXIT_SUCCESS;
	case OPTIONS_VERSION:
		puts("shmallocd " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	case OPTIONS_RUN:
		break;
	}
	return daemon_run(options);
}

int
main(int argc, char *argv[])
{
	struct options options;
	int status = options_parse(argc, argv, &options);
	if (status == 0)
		status = action_run(&options);
	options_release(&options);
	return status;
}
