/* server/man.h - the man pages, made from the tables that the program works by
 *
 * `aviary man PAGE` prints them; `make install` puts them in place. mdoc(7), checked with mandoc.
 */
#pragma once
#include "base/buf.h"
#include "server/cli/command.h"

/**
 * Append a whole page: "aviary", "aviary-secrets", "aviary.yaml" or "fleet.yaml".
 *
 * @param commands  subcommands for aviary(1)
 * @return false if there is no such page
 */
MUST_USE bool man_write(
	const char *page, const struct command *const *commands, size_t count, struct buf *out);
