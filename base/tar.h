/* base/tar.h - tar archives piece by piece, as every tar reads them (ustar, long names as GNU's)
 *
 * The same files give the same bytes: owner root, time 0.
 */
#pragma once
#include "base/buf.h"

#define TAR_BLOCK 512

/** Append what stands before the content of a regular file. Behind the content go
 *  tar_padding(@p size) zero bytes. @param mode  permissions */
void tar_add_header(const char *path, unsigned mode, size_t size, struct buf *out);
/** Zero bytes behind a content of @p size bytes, at most TAR_BLOCK - 1. */
size_t tar_padding(size_t size);
/** Append the end of an archive. */
void tar_add_end(struct buf *out);
