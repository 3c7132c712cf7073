/* The socket directory: whose it is, and one daemon at a time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/rundir.h"

static char top[] = "/tmp/test_server_rundir.XXXXXX";
static char path[128];
static const struct rundir_kept none = { .lock_fd = -1 };

static void
top_make(void)
{
	cr_assert_not_null(mkdtemp(top));
	snprintf(path, sizeof(path), "%s/run", top);
}

static void
top_remove(void)
{
	char command[192];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	cr_assert_eq(system(command), 0);
}

TestSuite(server_rundir, .init = top_make, .fini = top_remove);

Test(server_rundir, a_missing_directory_is_made_and_removed_again)
{
	struct rundir dir;
	struct stat st;

	cr_assert_eq(rundir_open(path, 0755, &none, &dir), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0755);
	rundir_close(&dir, false);
	cr_assert_neq(stat(path, &st), 0);
}

Test(server_rundir, one_that_was_there_stays_as_it_is)
{
	struct rundir dir;
	struct stat st;

	cr_assert_eq(mkdir(path, 0710), 0);
	cr_assert_eq(rundir_open(path, 0755, &none, &dir), 0);
	rundir_close(&dir, false);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0710);
}

Test(server_rundir, a_second_daemon_is_refused_until_the_first_has_gone)
{
	struct rundir first, second;

	cr_assert_eq(rundir_open(path, 0700, &none, &first), 0);
	cr_assert_eq(rundir_open(path, 0700, &none, &second), SHM_EEXIST);
	rundir_close(&first, false);
	cr_assert_eq(rundir_open(path, 0700, &none, &second), 0);
	rundir_close(&second, false);
}

Test(server_rundir, the_lock_of_a_killed_daemon_is_free)
{
	struct rundir dir;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (rundir_open(path, 0700, &none, &dir) == 0)
			abort();
		_exit(1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), 0);
	rundir_close(&dir, false);
}

Test(server_rundir, a_directory_that_anybody_may_write_to_is_refused)
{
	struct rundir dir;

	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(chmod(path, 01777), 0);
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), SHM_EPERM);
}

Test(server_rundir, a_directory_that_another_group_may_write_to_is_refused)
{
	struct rundir dir;

	cr_assert_eq(mkdir(path, 0700), 0);
	if (chown(path, (uid_t)-1, getegid() + 1) != 0)
		cr_skip_test("only root can give it to any group");
	cr_assert_eq(chmod(path, 0770), 0);
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), SHM_EPERM);
	cr_assert_eq(chown(path, (uid_t)-1, getegid()), 0);
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), 0);
	rundir_close(&dir, false);
}

Test(server_rundir, a_directory_of_another_user_is_refused)
{
	struct rundir dir;

	if (geteuid() != 0)
		cr_skip_test("only root can make another user's directory");
	cr_assert_eq(mkdir(path, 0755), 0);
	cr_assert_eq(chown(path, 1, 1), 0);
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), SHM_EPERM);
}

Test(server_rundir, a_file_or_a_directory_without_parent_is_refused)
{
	struct rundir dir;
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fclose(file);
	cr_assert_eq(rundir_open(path, 0700, &none, &dir), SHM_ESYSTEM);
	cr_assert_eq(
	    rundir_open("/nonexistent/x", 0700, &none, &dir), SHM_ESYSTEM);
}

Test(server_rundir, the_path_follows_option_variable_runtime_dir_and_default)
{
	char found[PATH_MAX];

	setenv("SHMALLOC_SOCKET", "/a", 1);
	setenv("XDG_RUNTIME_DIR", top, 1);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(rundir_resolve("/b", found, sizeof(found)), 0);
	cr_assert_str_eq(found, "/b");
	cr_assert_eq(rundir_resolve(NULL, found, sizeof(found)), 0);
	cr_assert_str_eq(found, "/a");
	unsetenv("SHMALLOC_SOCKET");
	snprintf(path, sizeof(path), "%s/shmalloc", top);
	cr_assert_eq(mkdir(path, 0700), 0);
	cr_assert_eq(rundir_resolve(NULL, found, sizeof(found)), 0);
	cr_assert_str_eq(found, path);
	unsetenv("XDG_RUNTIME_DIR");
	cr_assert_eq(rundir_resolve(NULL, found, sizeof(found)), 0);
	cr_assert_str_eq(found, "/run/shmalloc");
	cr_assert_eq(rundir_resolve("/long", found, 3), SHM_EINVAL);
}
