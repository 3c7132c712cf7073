/*
 * The file of save.h, record by record: how it is written so that either the
 * whole of it is there under its name or the former one, and read so that not
 * a bit of it can be wrong.
 */
#ifndef SERVER_SAVE_FILE_H
#define SERVER_SAVE_FILE_H

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "shm/error.h"
#include "shm/layout.h"

#define SAVE_MAGIC    "shmsave1"
#define SAVE_BLOCK    (1u << 20)
/* An error that has no number of its own: there is no such file. */
#define SHM_ENOTFOUND SHM_ENOSEGMENT

enum save_kind {
	SAVE_HEAD = 1,
	SAVE_SEGMENT,
	SAVE_MEMORY,
	SAVE_PINS,
	SAVE_END,
};

struct save_record {
	uint32_t kind;
	uint32_t len; /* of the payload, at most SAVE_BLOCK */
	uint64_t off; /* in the segment's memory, or the pins' */
	uint64_t hash;
};

struct save_head {
	char magic[9]; /* SAVE_MAGIC */
	char spare[3];
	uint32_t layout;
};

struct save_segment {
	char name[SHM_NAME_LEN];
	uint32_t mode, uid, gid, spare;
	uint64_t size, reserved, created;
};

struct save_file {
	FILE *stream;
	char *block;        /* SAVE_BLOCK bytes, for whoever */
	uint64_t n_records; /* so far */
	uint64_t n_bytes;
	char path[PATH_MAX], partial[PATH_MAX];
};

/* Begin to write PATH.  An error, which was logged. */
int save_create(struct save_file *file, const char *path) SHM_MUSTCHECK;

int save_put(struct save_file *file, enum save_kind kind, uint64_t off,
    const void *payload, uint32_t len) SHM_MUSTCHECK;

/* Where FILE is, and back: what was written since is as if it never was. */
struct save_mark {
	off_t end;
	uint64_t n_records, n_bytes;
};
struct save_mark save_here(const struct save_file *file);
int save_rewind(
    struct save_file *file, const struct save_mark *mark) SHM_MUSTCHECK;

/* All is written, and FILE takes its name; or ERROR (if not 0) happened, and
 * nothing is left of it.  Gives that, or its own error, which was logged. */
int save_commit(struct save_file *file, int error) SHM_MUSTCHECK;

/* Begin to read PATH: its head is right.  SHM_ENOTFOUND; SHM_EINVAL (it is
 * something else), SHM_EVERSION, SHM_ECORRUPT, SHM_ENOMEM, SHM_ESYSTEM. */
int save_open(struct save_file *file, const char *path) SHM_MUSTCHECK;

/* The next record, its payload in FILE->block.  SHM_ECORRUPT. */
int save_get(
    struct save_file *file, struct save_record *ret_record) SHM_MUSTCHECK;

void save_close(struct save_file *file);

/* Say what is wrong with PATH, and what to do. */
void save_error_log(const char *path, int error);

#endif
