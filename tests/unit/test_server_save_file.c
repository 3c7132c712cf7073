/* The file of --save: records that were taken back are as if never written. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/save_file.h"

static char path[] = "/tmp/shmalloc-save-XXXXXX";
static struct save_file file;

static void
file_begin(void)
{
	struct save_head head = { .magic = SAVE_MAGIC, .layout = SHM_LAYOUT };
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(save_create(&file, path), 0);
	cr_assert_eq(save_put(&file, SAVE_HEAD, 0, &head, sizeof(head)), 0);
}

static void
file_remove(void)
{
	unlink(path);
}

TestSuite(server_save_file, .init = file_begin, .fini = file_remove);

static void
record_is(enum save_kind kind, uint64_t off)
{
	struct save_record record;

	cr_assert_eq(save_get(&file, &record), 0);
	cr_assert_eq(record.kind, kind);
	cr_assert_eq(record.off, off);
}

Test(server_save_file, what_is_taken_back_leaves_the_rest_whole)
{
	static char block[SAVE_BLOCK];
	struct save_mark mark;

	memset(block, 'x', sizeof(block));
	cr_assert_eq(save_put(&file, SAVE_MEMORY, 1, block, 100), 0);
	mark = save_here(&file);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(
		    save_put(&file, SAVE_MEMORY, 2, block, sizeof(block)), 0);
	cr_assert_eq(save_rewind(&file, &mark), 0);
	cr_assert_eq(save_put(&file, SAVE_MEMORY, 3, block, 10), 0);
	cr_assert_eq(save_put(&file, SAVE_END, 0, NULL, 0), 0);
	cr_assert_lt(file.n_bytes, sizeof(block));
	cr_assert_eq(save_commit(&file, 0), 0);

	cr_assert_eq(save_open(&file, path), 0);
	record_is(SAVE_MEMORY, 1);
	record_is(SAVE_MEMORY, 3);
	record_is(SAVE_END, 0);
	cr_assert_eq(fgetc(file.stream), EOF);
	save_close(&file);
}
