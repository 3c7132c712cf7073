/*
 * shmallocd: serves segments of shared memory to many processes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
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

/* Clients can attach: the parent, at the other end of the pipe, may end. */
static void
parent_release(void *arg)
{
	const int *pipe_fd = arg;
	int null_fd;
	if (*pipe_fd < 0)
		return;
	if (write(*pipe_fd, "", 1) != 1)
		fprintf(stderr, "shmallocd: the starting process has gone\n");
	close(*pipe_fd);
	null_fd = open("/dev/null", O_RDWR);
	if (null_fd < 0)
		return;
	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
	if (isatty(STDERR_FILENO))
		dup2(null_fd, STDERR_FILENO);
	if (null_fd > STDERR_FILENO)
		close(null_fd);
}

/*
 * Go on in a child of our own session.  The parent ends with success when the
 * child serves, and with failure when it ends before.
 */
static int
background_enter(int *ret_pipe)
{
	int fds[2];
	char byte;
	if (pipe2(fds, O_CLOEXEC) != 0)
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
	if (setsid() < 0)
		return SHM_ESYSTEM;
	*ret_pipe = fds[1];
	return 0;
}

static int
daemon_run(const struct options *options)
{
	int pipe_fd = -1;
	if (options->is_background && background_enter(&pipe_fd) != 0) {
		perror("shmallocd: cannot go into the background");
		return EXIT_FAILURE;
	}
	return server_run(&options->server, parent_release, &pipe_fd) == 0
	    ? EXIT_SUCCESS
	    : EXIT_FAILURE;
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
