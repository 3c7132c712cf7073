/*
 * Runs Criterion's tests without Criterion's runner, for ThreadSanitizer.
 *
 * The runner of libcriterion maps its workers' memory where ThreadSanitizer
 * has its shadow, and has threads of its own that are not instrumented.  The
 * tests are the same: this file finds them in the section where the Test()
 * macro puts them, and defines the few functions that a test calls to report.
 *
 * Each test runs in a forked child.  What it reports lies in `report`, which
 * parent and child share; the parent judges it together with the exit status,
 * so a race (exit status 66), a crash and a time-out are failures as well.
 *
 * Knows Test, TestSuite and ParameterizedTest, and the fields init, fini,
 * signal, exit_code, disabled and timeout.  Not theories.
 */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <criterion/parameterized.h>

#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct report {
	int n_failed;
	bool was_skipped;
	char why[256];
};

/* Made by the linker; the second pair only if a test has a suite. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

int main(int argc, char **argv);

static struct report *report;
static struct criterion_test *this_test;
static void *this_param;
static jmp_buf test_end;

/* What tests call. */

void
criterion_send_assert(struct criterion_assert_stats *stats)
{
	if (stats->passed)
		return;
	__atomic_fetch_add(&report->n_failed, 1, __ATOMIC_RELAXED);
	printf("# %s:%u: %s\n", stats->file, stats->line, stats->message);
}

void
cri_asserts_passed_incr(void)
{
}

void
criterion_abort_test(void)
{
	__atomic_fetch_add(&report->n_failed, 1, __ATOMIC_RELAXED);
	longjmp(test_end, 1);
}

void
criterion_skip_test(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(report->why, sizeof(report->why), format, args);
	va_end(args);
	report->was_skipped = true;
	longjmp(test_end, 1);
}

void
cr_log(enum criterion_severity severity, const char *format, ...)
{
	va_list args;

	(void)severity;
	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static const struct criterion_test_extra_data *
suite_find(const char *name)
{
	if (!__start_cr_sts)
		return NULL;
	for (struct criterion_suite **p = __start_cr_sts; p < __stop_cr_sts;
	     p++)
		if (*p && strcmp((*p)->name, name) == 0)
			return (*p)->data;
	return NULL;
}

static void
fixture_run(void (*fixture)(void))
{
	if (fixture)
		fixture();
}

void
criterion_internal_test_setup(void)
{
	const struct criterion_test_extra_data *suite;

	suite = suite_find(this_test->category);
	if (suite)
		fixture_run(suite->init);
	fixture_run(this_test->data->init);
}

void
criterion_internal_test_main(void (*fn)(void))
{
	if (setjmp(test_end))
		return;
	if (this_test->data->kind_ == CR_TEST_PARAMETERIZED)
		((void (*)(void *))fn)(this_param);
	else
		fn();
}

void
criterion_internal_test_teardown(void)
{
	const struct criterion_test_extra_data *suite;

	if (setjmp(test_end))
		return;
	fixture_run(this_test->data->fini);
	suite = suite_find(this_test->category);
	if (suite)
		fixture_run(suite->fini);
}

/* The runner. */

static double
timeout_of(const struct criterion_test *test)
{
	const struct criterion_test_extra_data *suite;

	suite = suite_find(test->category);
	if (test->data->timeout > 0 || !suite)
		return test->data->timeout;
	return suite->timeout;
}

static void
child_run(const struct criterion_test *test)
{
	double timeout = timeout_of(test);

	if (timeout > 0)
		alarm((unsigned)ceil(timeout));
	if (setjmp(test_end) == 0) /* left by a fixture that asserts */
		test->test();
	exit(0);
}

/* Why a test that ended with STATUS failed, or NULL if it passed. */
static const char *
status_judge(const struct criterion_test *test, int status)
{
	static char why[64];

	if (report->n_failed > 0)
		return "an assertion failed";
	if (report->was_skipped)
		return NULL;
	if (WIFSIGNALED(status) && WTERMSIG(status) == test->data->signal)
		return NULL;
	if (WIFEXITED(status) && test->data->signal == 0 &&
	    WEXITSTATUS(status) == test->data->exit_code)
		return NULL;
	if (WIFSIGNALED(status))
		snprintf(
		    why, sizeof(why), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(
		    why, sizeof(why), "exit status %d", WEXITSTATUS(status));
	return why;
}

/* Run TEST once and print its result; true if it passed. */
static bool
test_run(struct criterion_test *test)
{
	const char *why;
	int status;
	pid_t pid;

	if (test->data->disabled) {
		printf("ok - %s::%s # SKIP disabled\n", test->category,
		    test->name);
		return true;
	}
	memset(report, 0, sizeof(*report));
	this_test = test;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child_run(test);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("Bail out! cannot fork or wait\n");
		exit(1);
	}
	why = status_judge(test, status);
	printf(
	    "%s - %s::%s", why ? "not ok" : "ok", test->category, test->name);
	if (report->was_skipped)
		printf(" # SKIP %s", report->why);
	printf("%s%s\n", why ? ": " : "", why ? why : "");
	return !why;
}

/* Run TEST with each of its parameters; add the number of runs to *N. */
static bool
test_run_all(struct criterion_test *test, size_t *n)
{
	struct criterion_test_params params;
	bool passed = true;

	if (test->data->kind_ != CR_TEST_PARAMETERIZED) {
		++*n;
		return test_run(test);
	}
	params = test->data->param_();
	for (size_t i = 0; i < params.length; i++) {
		this_param = (char *)params.params + i * params.size;
		passed &= test_run(test);
		++*n;
	}
	if (params.cleanup)
		params.cleanup(&params);
	return passed;
}

int
main(int argc, char **argv)
{
	const char *pattern = argc == 3 ? argv[2] : "*";
	bool passed = true;
	size_t n = 0;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--filter") != 0)) {
		fprintf(stderr, "usage: %s [--filter SUITE/TEST]\n", argv[0]);
		return 2;
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	for (struct criterion_test **p = __start_cr_tst; p < __stop_cr_tst; p++)
		if (*p && fnmatch(pattern, (*p)->data->identifier_, 0) == 0)
			passed &= test_run_all(*p, &n);
	printf("1..%zu\n", n);
	return passed ? 0 : 1;
}
