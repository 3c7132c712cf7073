#include "server/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/log.h"

static uint64_t
record_hash(
    const struct save_record *record, uint64_t number, const void *payload)
{
	const uint64_t head[4] = { record->kind, record->len, record->off,
		number };
	return XXH3_64bits_withSeed(
	    payload, record->len, XXH3_64bits(head, sizeof head));
}

static int
file_init(struct save_file *file, const char *path)
{
	memset(file, 0, sizeof *file);
	int n = snprintf(file->path, sizeof file->path, "%s", path);
	int m = snprintf(file->partial, sizeof file->partial, "%s.new", path);
	if (n <= 0 || (size_t)m >= sizeof file->partial)
		return SHM_EINVAL;
	file->block = malloc(SAVE_BLOCK);
	return file->block != NULL ? 0 : SHM_ENOMEM;
}

void
save_close(struct save_file *file)
{
	if (file->stream != NULL)
		fclose(file->stream);
	free(file->block);
	file->stream = NULL;
	file->block = NULL;
}

/* ---- Writing ------------------------------------------------------------- */

int
save_create(struct save_file *file, const char *path)
{
	int error = file_init(file, path), fd = -1;
	if (error == 0) {
		/* What an interrupted save left. */
		unlink(file->partial);
		fd = open(file->partial,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		file->stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	}
	if (file->stream != NULL)
		return 0;
	log_error("cannot write %s.new: %s; nothing is saved", path,
	    error != 0 ? "its name is too long" : strerror(errno));
	if (fd >= 0)
		close(fd);
	save_close(file);
	return SHM_ESYSTEM;
}

int
save_put(struct save_file *file, enum save_kind kind, uint64_t off,
    const void *payload, uint32_t len)
{
	struct save_record record = {
		.kind = (uint32_t)kind, .len = len, .off = off
	};
	record.hash = record_hash(&record, file->n_records++, payload);
	file->n_bytes += sizeof record + len;
	if (fwrite(&record, sizeof record, 1, file->stream) != 1 ||
	    (len > 0 && fwrite(payload, len, 1, file->stream) != 1))
		return SHM_ESYSTEM;
	return 0;
}

struct save_mark
save_here(const struct save_file *file)
{
	return (struct save_mark){ ftello(file->stream), file->n_records,
		file->n_bytes };
}

int
save_rewind(struct save_file *file, const struct save_mark *mark)
{
	if (mark->end < 0 || fflush(file->stream) != 0 ||
	    ftruncate(fileno(file->stream), mark->end) != 0 ||
	    fseeko(file->stream, mark->end, SEEK_SET) != 0)
		return SHM_ESYSTEM;
	file->n_records = mark->n_records;
	file->n_bytes = mark->n_bytes;
	return 0;
}

/* A name is safe when its directory is. */
static int
directory_sync(const char *path)
{
	char copy[PATH_MAX];
	snprintf(copy, sizeof copy, "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd >= 0 ? fsync(fd) : -1;
	if (fd >= 0)
		close(fd);
	return r;
}

int
save_commit(struct save_file *file, int error)
{
	if (error == 0 &&
	    (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0 ||
		rename(file->partial, file->path) != 0 ||
		directory_sync(file->path) != 0))
		error = SHM_ESYSTEM;
	if (error == SHM_ESYSTEM)
		log_error("cannot write %s: %s; nothing is saved",
		    file->partial, strerror(errno));
	if (error != 0)
		unlink(file->partial);
	save_close(file);
	return error;
}

/* ---- Reading ------------------------------------------------------------- */

int
save_get(struct save_file *file, struct save_record *ret_record)
{
	struct save_record *record = ret_record;
	if (fread(record, sizeof *record, 1, file->stream) != 1 ||
	    record->len > SAVE_BLOCK ||
	    (record->len > 0 &&
		fread(file->block, record->len, 1, file->stream) != 1) ||
	    record->hash != record_hash(record, file->n_records, file->block))
		return SHM_ECORRUPT;
	file->n_records++;
	return 0;
}

static int
head_check(struct save_file *file)
{
	struct save_record record;
	struct save_head head;
	char magic[sizeof record + sizeof SAVE_MAGIC - 1];
	/* Whose file it is comes before whether it is whole. */
	if (fread(magic, sizeof magic, 1, file->stream) != 1 ||
	    memcmp(magic + sizeof record, SAVE_MAGIC, sizeof SAVE_MAGIC - 1) !=
		0)
		return SHM_EINVAL;
	rewind(file->stream);
	int error = save_get(file, &record);
	if (error != 0 || record.len != sizeof head || record.kind != SAVE_HEAD)
		return SHM_ECORRUPT;
	memcpy(&head, file->block, sizeof head);
	return head.layout == SHM_LAYOUT ? 0 : SHM_EVERSION;
}

/* Could somebody have written it who may not have what it becomes? */
static bool
is_anybodys(const struct stat *st)
{
	return (st->st_uid != geteuid() && st->st_uid != 0) ||
	    (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

int
save_open(struct save_file *file, const char *path)
{
	struct stat st;
	int error = file_init(file, path);
	if (error != 0)
		return error;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		error = errno == ENOENT ? SHM_ENOTFOUND : SHM_ESYSTEM;
	else if (fstat(fd, &st) != 0 ||
	    (file->stream = fdopen(fd, "r")) == NULL) {
		error = SHM_ESYSTEM;
		close(fd);
	} else if (!S_ISREG(st.st_mode))
		error = SHM_EINVAL;
	else if (is_anybodys(&st))
		error = SHM_EPERM;
	else
		error = head_check(file);
	if (error != 0)
		save_close(file);
	return error;
}

void
save_error_log(const char *path, int error)
{
	const char *why = "it is damaged or cut off";
	if (error == SHM_EINVAL)
		why = "it was not written by --save";
	else if (error == SHM_EVERSION)
		why = "another version of shmallocd wrote it";
	else if (error == SHM_EPERM)
		why =
		    "it, or what is in it, belongs to somebody else, or others "
		    "may write to it";
	else if (error == SHM_ESYSTEM || error == SHM_ENOMEM)
		why = strerror(errno);
	log_error("--save %s: %s.  It is left as it is: use it with what it "
		  "was written by, or move it away to start with new segments",
	    path, why);
}
