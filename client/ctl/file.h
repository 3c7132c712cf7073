/* Files that commands write. */
#ifndef CTL_FILE_H
#define CTL_FILE_H

#include <stddef.h>

/*
 * Replace PATH by a file of the LEN bytes at DATA, which everybody may read;
 * who reads it meanwhile sees the old one or the new one, whole.  The exit
 * code, after saying on stderr what failed.
 */
int file_replace(const char *path, const void *data, size_t len);

#endif
