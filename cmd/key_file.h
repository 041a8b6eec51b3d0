/*
 * The key of fake-ip's addresses in a file, so that a restart hands out the same ones to a guest that still has them.
 */
#ifndef WEIR_CMD_KEY_FILE_H
#define WEIR_CMD_KEY_FILE_H

#include "base/siphash.h"

enum { KEY_FILE_BYTES = 16 };

/**
 * Read the key @path holds; make the file with a new key, for this user alone, when it is not there. Two that begin at
 * once have the same key.
 *
 * Return: 0, or -errno: -EINVAL is a file that is no such key (another length, all zeroes, no regular file).
 */
int key_file_read(const char *path, struct siphash_key *out_key);

#endif
